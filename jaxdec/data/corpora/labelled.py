"""Texts with labels: the SMS Spam Collection, messages written for this project, or any file of records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import as_file
from pathlib import Path
from typing import NamedTuple

from jaxdec.data.corpora import sms_spam
from jaxdec.data.corpora.embedded import embedded_file
from jaxdec.data.corpora.records import Fields, read_records
from jaxdec.errors import UserError, listed, nearest

EMBEDDED, MESSAGES = "embedded", "messages.tsv"
KNOWN = ("sms_spam", EMBEDDED)


class Example(NamedTuple):
    label: str
    text: str


def load_examples(
    corpus: str, label_field: str, text_field: str | None, labels: Sequence[str] | None, from_file: Path | None
) -> tuple[str, list[Example]]:
    """The name of a corpus, and its texts with their labels. `labels`: all that may occur; None: any.

    Raises UserError, with the file and the line, for a record without text or label, and for a label that may not
    occur."""
    if corpus == "sms_spam":
        if from_file is not None:
            sms_spam.CORPUS.take(from_file)
        path = sms_spam.CORPUS.obtain()
        return corpus, [Example(message.label, message.text) for message in sms_spam.records(path)]
    if from_file is not None:
        raise UserError(f"--from-file is for sms_spam, not beside the corpus {corpus}: leave it out")
    if corpus == EMBEDDED:
        with as_file(embedded_file(MESSAGES)) as path:
            return corpus, list(examples_of(path, "label", "text", labels))
    path = Path(corpus).expanduser()
    if not path.exists():
        near = nearest(corpus, KNOWN)
        hint = near if "did you mean" in near else ""
        raise UserError(
            f"there is no corpus of texts with labels and no file called {corpus!r}{hint}: give one "
            f"of {', '.join(KNOWN)}, or a .csv, .tsv, .jsonl, .json or .parquet file with a text and a label in each "
            "record"
        )
    return str(path), list(examples_of(path, label_field, text_field or "text", labels))


def examples_of(path: Path, label_field: str, text_field: str, labels: Sequence[str] | None) -> Iterator[Example]:
    """The records of a file."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give one file of records with a text and a label in each")
    for fields in read_records(path):
        for name, flag in ((text_field, "--data.text-field"), (label_field, "--stage.label-field")):
            if name not in fields.values:
                raise UserError(
                    f"{fields.where()} has no field {name!r}: its fields are {listed(fields.values, most=10)}; name "
                    f"the right one with {flag} NAME"
                )
        yield Example(label_of(fields, label_field, labels), fields.text(text_field))


def label_of(fields: Fields, name: str, labels: Sequence[str] | None) -> str:
    """The label of a record, a text or a whole number."""
    value = fields.values[name]
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise UserError(f"{fields.where()} has {value!r} as its {name!r}: a label is a text or a whole number")
    label = str(value).strip()
    if labels is not None and label not in labels:
        raise UserError(f"{fields.where()} has the label {label!r}, which is none of the classes {listed(labels, 10)}")
    return label
