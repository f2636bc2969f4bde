"""Parquet files, through pyarrow: row group by row group, and only the columns that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxdec.data.sources.lines import Row
from jaxdec.errors import UserError, needs_extra

BATCH = 64  # rows that are held at once


def rows(path: Path, after: int = 0, columns: Sequence[str] = ()) -> Iterator[Row]:
    """The rows from number `after` on; no columns given: all. Raises UserError for what is no parquet file."""
    with _opened(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if after < first + count:
                start = first
                with _named(path):
                    batches = file.iter_batches(BATCH, row_groups=[group], columns=list(columns) or None)
                while (batch := _next(batches, path)) is not None:
                    skip = min(max(0, after - start), batch.num_rows)
                    for index, fields in enumerate(batch.slice(skip).to_pylist(), start + skip):
                        yield Row(fields, index, index + 1)
                    start += batch.num_rows
            first += count


def columns(path: Path) -> dict[str, bool]:
    """The names of the columns, and which of them hold text."""
    types = _pyarrow().types
    with _opened(path) as file:
        schema = file.schema_arrow
    return {field.name: types.is_string(field.type) or types.is_large_string(field.type) for field in schema}


def count(path: Path) -> int:
    """The number of rows."""
    with _opened(path) as file:
        return file.metadata.num_rows


def where(path: Path, start: int) -> str:
    return f"row {start + 1:,} of {path}"


def _next(batches: Iterator[Any], path: Path) -> Any:
    with _named(path):
        return next(batches, None)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    _pyarrow()
    import pyarrow.parquet

    with _named(path):
        # Without pre_buffer and with a buffer, a row group is read page by page: its size is no matter.
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
    with file:
        yield file


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except _pyarrow().ArrowException as error:
        raise UserError(
            f"the file {path} is no parquet file, or damaged or cut off ({' '.join(str(error).split())}). Get it again"
        ) from None
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(f"the file {path} cannot be read ({reason}): it may be damaged, or not yours to read") from None


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise needs_extra("parquet files need pyarrow", "data") from None
    return pyarrow
