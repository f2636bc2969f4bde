"""Kinds of files by the ends of their names, with .gz or .zst behind or not; what is no other kind is read as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxdec.data.sources import json_list, jsonl, lines, parquet, tables
from jaxdec.data.sources.lines import Row
from jaxdec.data.sources.streams import COMPRESSED
from jaxdec.errors import UserError

PACKED = (".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".lz4", ".br")


@dataclass(frozen=True)
class Records:
    """A kind of file that holds records.

    `rows(path, after, columns)`: those from a place on; `where(path, start)`: the name of a row's place in messages;
    `columns(path)`: the names of the fields, and which of them hold text; `end(path)`: the place behind the last row,
    where that is not the file's size.
    """

    rows: Callable[[Path, int, Sequence[str]], Iterator[Row]]
    where: Callable[[Path, int], str]
    columns: Callable[[Path], Mapping[str, bool]]
    end: Callable[[Path], int] | None = None


def _of_first(rows: Callable[[Path, int, Sequence[str]], Iterator[Row]]) -> Callable[[Path], Mapping[str, bool]]:
    """The fields of a file as its first record has them. In a table a number is no text."""

    def columns(path: Path) -> Mapping[str, bool]:
        for row in rows(path, 0, ()):
            return {name: isinstance(value, str) and not _is_number(value) for name, value in row.fields.items()}
        return {}

    return columns


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


RECORDS: dict[str, Records] = {
    ".jsonl": Records(jsonl.rows, lines.where, _of_first(jsonl.rows)),
    ".ndjson": Records(jsonl.rows, lines.where, _of_first(jsonl.rows)),
    ".json": Records(json_list.rows, lines.where, _of_first(json_list.rows)),
    ".csv": Records(tables.csv_rows, lines.where, _of_first(tables.csv_rows)),
    ".tsv": Records(tables.tsv_rows, lines.where, _of_first(tables.tsv_rows)),
    ".parquet": Records(parquet.rows, parquet.where, parquet.columns, parquet.count),
}


def records_of(path: Path) -> Records | None:
    """The kind of a file of records; None for a text. Raises UserError for an archive, and for packed parquet."""
    name = path.name.lower()
    suffix = path.suffix.lower()
    inner = Path(name.removesuffix(suffix)).suffix if suffix in COMPRESSED else suffix
    if inner in PACKED or suffix in PACKED:
        raise UserError(f"{path} is packed: unpack it, and give the folder or the file. Only .gz and .zst are read")
    if inner == ".parquet" and suffix in COMPRESSED:
        raise UserError(f"{path} is packed twice, since parquet is compressed inside: unpack it and give the .parquet")
    return RECORDS.get(inner)
