"""Records with fields of known names and types, out of files of any kind of records, with the place in every error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxdec.data.sources.kinds import records_of
from jaxdec.errors import UserError, listed


class Fields:
    """The fields of one record. Raises UserError, with the place, for one that is missing or of another type."""

    def __init__(self, values: Mapping[str, Any], where: Callable[[], str]) -> None:
        self.values, self.where = values, where

    def text(self, name: str, *, empty: bool = False) -> str:
        """A text, which may be empty only where `empty` says so."""
        value = self._of(name, str, "text")
        if not value.strip() and not empty:
            raise UserError(f"{self.where()} has an empty {name!r}: mend or remove the record")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, two at least."""
        value = self._of(name, list, "a list of texts")
        if len(value) < 2 or not all(isinstance(item, str) and item for item in value):
            raise UserError(f"{self.where()} has a {name!r} that is no list of two texts or more")
        return tuple(value)

    def index(self, name: str, count: int) -> int:
        """A whole number from 0 to `count` - 1, also where it is written as text."""
        value = self.values.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < count:
            raise UserError(f"{self.where()} has {name!r} {value!r}: give a whole number from 0 to {count - 1}")
        return value

    def _of(self, name: str, type: type, what: str) -> Any:
        if name not in self.values:
            raise UserError(f"{self.where()} has no field {name!r}: its fields are {listed(self.values, most=10)}")
        value = self.values[name]
        if not isinstance(value, type):
            raise UserError(f"{self.where()} has {str(value)[:40]!r} as its {name!r}, which is not {what}")
        return value


def read_records(path: Path) -> Iterator[Fields]:
    """The records of a .jsonl, .json, .csv, .tsv or .parquet file. Raises UserError for another kind, and for none."""
    kind = records_of(path)
    if kind is None:
        raise UserError(f"{path} is no file of records: give .jsonl, .json, .csv, .tsv or .parquet")
    row = None
    for row in kind.rows(path, 0, ()):
        yield Fields(row.fields, lambda start=row.start: kind.where(path, start))
    if row is None:
        raise UserError(f"{path} is empty: it has no record")
