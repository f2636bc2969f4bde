"""Writes the same documents as files of every kind, for the tests of what reads them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

KINDS = ("jsonl", "ndjson", "json", "csv", "tsv", "parquet")
COMPRESSIONS = ("", ".gz", ".zst")


def compressed(content: bytes, suffix: str) -> bytes:
    match suffix:
        case ".gz":
            half = len(content) // 2  # two members, as `cat a.gz b.gz` makes them
            return gzip.compress(content[:half]) + gzip.compress(content[half:])
        case ".zst":
            zstandard = pytest.importorskip("zstandard")
            half = len(content) // 2
            compressor = zstandard.ZstdCompressor(write_checksum=True)
            return compressor.compress(content[:half]) + compressor.compress(content[half:])
        case _:
            return content


def records(documents: Sequence[str], kind: str, field: str = "text") -> bytes:
    """Each document with a number beside it, as a file of that kind has them."""
    rows = [{"number": number, field: document} for number, document in enumerate(documents)]
    match kind:
        case "jsonl" | "ndjson":
            return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        case "json":
            return json.dumps(rows, indent=1, ensure_ascii=False).encode()
        case "csv":
            out = io.StringIO(newline="")
            writer = csv.writer(out)
            writer.writerows([("number", field), *((row["number"], row[field]) for row in rows)])
            return out.getvalue().encode()
        case "tsv":
            return "".join(f"{a}\t{b}\n" for a, b in [("number", field), *(row.values() for row in rows)]).encode()
        case "parquet":
            arrow = pytest.importorskip("pyarrow")
            parquet = pytest.importorskip("pyarrow.parquet")
            sink = io.BytesIO()
            parquet.write_table(arrow.Table.from_pylist(rows), sink, row_group_size=max(3, len(rows) // 10))
            return sink.getvalue()
        case _:
            raise ValueError(kind)


def write(folder: Path, documents: Sequence[str], kind: str, compression: str = "", field: str = "text") -> Path:
    path = folder / f"documents.{kind}{compression}"
    path.write_bytes(compressed(records(documents, kind, field), compression))
    return path
