"""HellaSwag (Zellers et al., ACL 2019): which of four endings goes on with a text; its validation set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxdec.data.corpora.real import KnownFile, RealCorpus
from jaxdec.data.corpora.records import read_records


@dataclass(frozen=True)
class MultipleChoice:
    """`endings[label]` is the right one."""

    context: str
    endings: tuple[str, ...]
    label: int

    @property
    def text(self) -> str:
        """The context with the right ending."""
        return f"{self.context} {self.endings[self.label]}"


@dataclass(frozen=True)
class HellaSwag(MultipleChoice):
    """With what the context is made of: `first` and, where there is one, the beginning of the next sentence; and the
    activity that the text is about."""

    activity: str = ""
    first: str = ""
    second: str = ""


def questions(path: Path) -> Iterator[HellaSwag]:
    """The questions of a file with all fields of the data set. Raises UserError that names the line."""
    for fields in read_records(path):
        endings = fields.texts("endings")
        label = fields.index("label", len(endings))
        parts = [fields.text(name, empty=True) for name in ("activity_label", "ctx_a", "ctx_b")]
        yield HellaSwag(fields.text("ctx"), endings, label, *parts)


def records(path: Path) -> Iterator[MultipleChoice]:
    """The questions of a file with the fields ctx, endings and label. Raises UserError that names the line."""
    for fields in read_records(path):
        endings = fields.texts("endings")
        yield MultipleChoice(fields.text("ctx"), endings, fields.index("label", len(endings)))


def documents(path: Path) -> Iterator[str]:
    return (question.text for question in records(path))


CORPUS = RealCorpus(
    name="hellaswag",
    about="which of four endings goes on with a text, 10,042 of the validation set; as text: with the right one",
    file="hellaswag_val.jsonl",
    size=None,
    sha256="0aa3b88843990f3f10a97b9575c94d7b71fb2205240ba04ae4884d9e9c992588",
    mirrors=("https://raw.githubusercontent.com/rowanz/hellaswag/master/data/hellaswag_val.jsonl",),
    licence="MIT",
    origin="rowanz/hellaswag",
    documents=documents,
    others=(  # its first 1,000 questions
        KnownFile(
            "hellaswag_val_1000.jsonl", 747_257, "79b87117cffba9878961284f233797c5ebeba4193cb48a93eabc4a5a1156cc45"
        ),
    ),
)
