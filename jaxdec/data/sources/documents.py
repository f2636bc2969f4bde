"""The documents of one file, whatever its kind: a text file is one document, records are one document each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxdec.data.sources import text
from jaxdec.data.sources.kinds import Records, records_of
from jaxdec.data.sources.lines import Row
from jaxdec.data.sources.streams import COMPRESSED
from jaxdec.data.sources.text import Stretch
from jaxdec.errors import UserError, listed, nearest

# A place in a file of records is (the row's place) * STRETCHES + (stretches of that row that lie behind).
STRETCHES = 2**16


class Document(NamedTuple):
    """A document of a file that holds several: where it begins, and where reading goes on after it."""

    text: str
    start: int
    after: int


def documents(path: Path, text_field: str | None, after: int, most: int) -> Iterator[Stretch]:
    """The documents of a file behind a place, in stretches of at most about `most` characters; empty ones are left out.

    Raises UserError for a file that cannot be read as what its name says, and for a record without text.
    """
    kind = records_of(path)
    if kind is None:
        yield from text.stretches(path, after, most)
        return
    field = text_column(path, kind, text_field)
    if field is not None:
        guessed = text_field is None and field != "text"
        yield from in_stretches(texts(path, kind, field, after // STRETCHES, guessed), after, most)


def texts(path: Path, kind: Records, field: str, start: int, guessed: bool = False) -> Iterator[Document]:
    """The texts of the records from a row's place on. Raises UserError for a record with a `text` beside the field that
    was taken because the first record has none."""
    for row in kind.rows(path, start, (field,)):
        if guessed and "text" in row.fields:
            raise UserError(
                f"{kind.where(path, row.start)} has a field 'text', which the first record has not: say which field is "
                "the text with --data.text-field NAME"
            )
        yield Document(text_of(row, field, kind, path), row.start, row.after)


def in_stretches(found: Iterable[Document], after: int, most: int) -> Iterator[Stretch]:
    """Documents cut to `most` characters, with places from which reading can go on; those before `after` left out.
    The first document begins where `after`'s does."""
    behind = after % STRETCHES
    for document in found:
        cuts = range(0, len(document.text), most)
        for number, cut in enumerate(cuts, start=1):
            if number > behind:
                last = number == len(cuts)
                place = document.after * STRETCHES if last else document.start * STRETCHES + number
                yield Stretch(document.text[cut : cut + most], last, place)
        behind = 0


def end_of(path: Path) -> int | None:
    """The place behind the last document of a file, about; None where only reading it all would tell."""
    kind = records_of(path)
    if path.suffix.lower() in COMPRESSED:
        return None
    end = path.stat().st_size if kind is None or kind.end is None else kind.end(path)
    return end if kind is None else end * STRETCHES


def text_column(path: Path, kind: Records, wanted: str | None) -> str | None:
    """The field that holds the text: the wanted one, else `text`, else the only one with text. None for a file without
    records. Raises UserError where that leaves none, or several."""
    columns = kind.columns(path)
    if not columns:
        return None
    if wanted is not None:
        if wanted not in columns:
            raise UserError(f"{path} has no field {wanted!r} (data.text_field){nearest(wanted, columns)}")
        return wanted
    texts = [name for name, is_text in columns.items() if is_text]
    if "text" in columns or len(texts) == 1:
        return "text" if "text" in columns else texts[0]
    there = f"fields with text: {listed(texts, most=10)}" if texts else f"fields: {listed(columns, most=10)}"
    raise UserError(f"{path} has no field 'text' ({there}): say which one is the text with --data.text-field NAME")


def text_of(row: Row, field: str, kind: Records, path: Path) -> str:
    """The text of a record. Raises UserError, with the place, where it has none."""
    value = row.fields.get(field)
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise UserError(
                    f"{kind.where(path, row.start)} has half a character in {field!r} (a lone surrogate): mend it there"
                ) from None
        return value
    if field not in row.fields:
        raise UserError(f"{kind.where(path, row.start)} has no field {field!r}: its fields are {listed(row.fields)}")
    what = "null" if value is None else f"{str(value)[:40]!r}"
    raise UserError(f"{kind.where(path, row.start)} has {what} as its {field!r}, which is no text: mend or remove it")
