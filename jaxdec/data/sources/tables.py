"""Tables as text: .csv with quotes (RFC 4180) and .tsv without them, each with the names of its columns first."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jaxdec.data.sources.lines import RECORD, Row, lines, plain_lines, where
from jaxdec.errors import UserError, listed

Cells = tuple[list[str], int, int]  # the cells of a row, the byte where it begins and the one behind it


def csv_rows(path: Path, after: int = 0, _: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a .csv file behind a byte offset. Raises UserError where quotes or columns do not fit."""
    yield from _rows(path, after, _csv_cells)


def tsv_rows(path: Path, after: int = 0, _: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a .tsv file behind a byte offset: a line is a row, and a quote is a quote."""
    yield from _rows(path, after, _tsv_cells)


def _rows(path: Path, after: int, cells_of: Callable[[Path, int], Iterator[Cells]]) -> Iterator[Row]:
    header, _, first = next(cells_of(path, 0), ([], 0, 0))  # an empty file has no rows either
    if len(set(header)) < len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise UserError(f"{path} has two columns of one name: {listed(map(repr, twice))}. Rename one in its first line")
    for cells, start, end in cells_of(path, max(after, first)):
        if len(cells) != len(header):
            raise UserError(
                f"{where(path, start)} has {len(cells)} columns, not the {len(header)} that its first line names: "
                f"{listed(header)}"
            )
        yield Row(dict(zip(header, cells, strict=True)), start, end)


def _csv_cells(path: Path, after: int) -> Iterator[Cells]:
    csv.field_size_limit(RECORD)
    start = end = after

    def text() -> Iterator[str]:
        nonlocal end
        for line, size in plain_lines(path, after):
            end += size
            yield line

    reader = csv.reader(text(), strict=True)
    try:
        for cells in reader:
            if cells:
                yield cells, start, end
            start = end
    except csv.Error as error:
        raise UserError(
            f"{where(path, start)} begins a row that is no CSV ({error}): check its quotes, or give the file as .jsonl"
        ) from None


def _tsv_cells(path: Path, after: int) -> Iterator[Cells]:
    for line in lines(path, after):
        text = line.text.removesuffix("\r")
        if text:
            yield text.split("\t"), line.start, line.after
