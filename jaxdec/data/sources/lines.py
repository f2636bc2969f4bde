"""The lines of a file with the places where they begin and end, for kinds of files that hold records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxdec.data.files import not_utf8
from jaxdec.data.sources.streams import Stream
from jaxdec.data.sources.text import BOM, Decoder
from jaxdec.errors import UserError

RECORD = 2**26  # bytes: a longer record is taken for damage, or memory would have no bound


class Row(NamedTuple):
    """A record of a file: its fields by name, where it begins and where reading goes on after it."""

    fields: Mapping[str, Any]
    start: int
    after: int


class Line(NamedTuple):
    """A line without its end, and the bytes where it begins and where the next one does."""

    text: str
    start: int
    after: int


def lines(path: Path, after: int = 0) -> Iterator[Line]:
    """The lines behind a byte offset, which must be the beginning of one. Raises UserError for what is no UTF-8."""
    with Stream(path) as stream:
        stream.skip(after)
        start, rest = after, b""
        for block in stream.blocks():
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                end = start + len(line) + 1
                yield Line(_decoded(line, start, path), start, end)
                start = end
            if len(rest) > RECORD:
                raise too_long(path, start)
        if rest:
            yield Line(_decoded(rest, start, path), start, start + len(rest))


def plain_lines(path: Path, after: int = 0) -> Iterator[tuple[str, int]]:
    """The same lines, each with its end and its length in bytes: for files with very many, ten times as fast."""
    with Stream(path) as stream:
        stream.skip(after)
        decoder = Decoder(path, after)
        rest = ""
        while True:
            block = stream.read()
            skipped = decoder.offset
            text = decoder.decode(block, final=not block)
            mark = len(BOM) if skipped == 0 and block.startswith(BOM) else 0
            *whole, rest = (rest + text).split("\n")
            for line in whole:
                yield line + "\n", (len(line) if line.isascii() else len(line.encode())) + 1 + mark
                mark = 0
            if not block:
                break
            if len(rest) > RECORD:
                raise too_long(path, decoder.offset)
        if rest:
            yield rest, len(rest.encode())


def where(path: Path, start: int) -> str:
    """`line 12 of PATH`, of a byte offset: counted only when an error is to be told."""
    number, left = 1, start
    with Stream(path) as stream:
        while left > 0 and (block := stream.read(min(left, 2**20))):
            number += block.count(b"\n")
            left -= len(block)
    return f"line {number:,} of {path}"


def too_long(path: Path, start: int) -> UserError:
    return UserError(
        f"{where(path, start)} begins a record of more than {RECORD // 2**20} MiB: give a file with shorter records"
    )


def _decoded(line: bytes, start: int, path: Path) -> str:
    if start == 0:
        line = line.removeprefix(BOM)
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8("the corpus", path, line[error.start], start + error.start) from None
