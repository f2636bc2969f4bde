"""A text file, decoded block by block; one file is one document."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jaxdec.data.files import not_utf8
from jaxdec.data.sources.streams import BLOCK, Stream

BOM = codecs.BOM_UTF8  # says how the file is encoded, and is no part of its text


class Stretch(NamedTuple):
    """A stretch of one document of a file, and where reading goes on after it."""

    text: str
    ends: bool  # the document ends with it
    after: int


class Decoder:
    """Bytes to text from a byte offset on, across the borders of blocks. UserError names the first byte that is not
    UTF-8. `offset`: of the first byte that has not become text yet."""

    def __init__(self, path: Path, offset: int) -> None:
        self.path, self.offset = path, offset
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def decode(self, block: bytes, final: bool = False) -> str:
        if self.offset == 0 and block.startswith(BOM):
            block, self.offset = block[len(BOM) :], len(BOM)
        held = self.held
        try:
            text = self._decoder.decode(block, final)
        except UnicodeDecodeError as error:
            raise not_utf8("the corpus", self.path, error.object[error.start], self.offset + error.start) from None
        self.offset += held + len(block) - self.held
        return text

    @property
    def held(self) -> int:
        """Bytes of a character whose other bytes have not come yet."""
        return len(self._decoder.getstate()[0])


def stretches(path: Path, after: int = 0, size: int = BLOCK) -> Iterator[Stretch]:
    """The text behind a byte offset, in stretches of `size` bytes or up to 3 fewer, with line ends as they stand.

    Each begins with the character that the one before it had no room for, so that they are the same from wherever
    reading begins. At least 4 bytes: no character is longer, nor a byte order mark.
    """
    with Stream(path) as stream:
        stream.skip(after)
        decoder = Decoder(path, after)
        text, place = "", after
        while block := stream.read(size - decoder.held):
            new = decoder.decode(block)
            if text and new:
                yield Stretch(text, False, place)
            text, place = new or text, decoder.offset
        decoder.decode(b"", final=True)
        if text:
            yield Stretch(text, True, place)
