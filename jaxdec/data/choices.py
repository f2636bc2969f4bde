"""Questions with a choice of answers, and passages, out of files of any kind of records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from jaxdec.data.corpora.hellaswag import MultipleChoice
from jaxdec.data.corpora.records import Fields, read_records
from jaxdec.data.sources.kinds import records_of
from jaxdec.data.sources.lines import lines, where
from jaxdec.errors import UserError

QUESTION, CHOICES, ANSWER = ("context", "question", "ctx"), ("choices", "endings"), ("label", "answer")


def read_choices(path: Path) -> Iterator[MultipleChoice]:
    """The questions of a file with a context (or question, ctx), choices (or endings), and a label (or answer): the
    index of the right choice from 0, or its text. Raises UserError, with the line, for what is no question."""
    for fields in read_records(path):
        choices = fields.texts(_name(fields, CHOICES))
        yield MultipleChoice(fields.text(_name(fields, QUESTION), empty=True), choices, _label(fields, choices))


def _name(fields: Fields, names: tuple[str, ...]) -> str:
    """The first of the names that the record has; its first name where it has none, for the error."""
    return next((name for name in names if name in fields.values), names[0])


def _label(fields: Fields, choices: tuple[str, ...]) -> int:
    name = _name(fields, ANSWER)
    if name not in fields.values:
        raise UserError(f"{fields.where()} has no answer: give the index of the right choice as its 'label'")
    value = fields.values[name]
    return choices.index(value) if value in choices else fields.index(name, len(choices))


def read_passages(path: Path) -> Iterator[str]:
    """The passages of a file of records with a field `text`, or the lines of a text file; each has two words at least.
    Raises UserError, with the line."""
    found = False
    if records_of(path) is None:
        for line in lines(path):
            if line.text.strip():
                found = True
                yield _passage(line.text.strip(), lambda start=line.start: where(path, start))
    else:
        for fields in read_records(path):
            found = True
            yield _passage(fields.text("text").strip(), fields.where)
    if not found:
        raise UserError(f"{path} is empty: it has no passage")


def _passage(text: str, place: Callable[[], str]) -> str:
    if " " not in text:
        raise UserError(f"{place()} has one word: there is nothing to predict it from")
    return text
