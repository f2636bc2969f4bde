"""Corpora for the tests of token shards: documents that come in pieces of given sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jaxdec.data.corpora.base import Corpus, Piece, Place
from jaxdec.data.files import sha256


def of_documents(documents: Sequence[str], size: int = 7) -> Corpus:
    """A corpus of many documents in pieces of `size` characters; a place is (document, characters of it)."""

    def pieces(after: Place | None) -> Iterator[Piece]:
        first, offset = after or (0, 0)
        for number, text in enumerate(documents):
            for start in range(0, len(text), size) if number >= first else ():
                end = min(start + size, len(text))
                ends = end == len(text)
                if number > first or start >= offset:
                    yield Piece(text[start:end], ends, (number + 1, 0) if ends else (number, end))

    return Corpus("documents", sha256("\0".join(documents).encode()), pieces, None)


def of_one(text: str, size: int = 7) -> Corpus:
    """A corpus of one document, in pieces of `size` characters."""
    several = of_documents([text], size)
    return Corpus("one document", several.hash, several.pieces, lambda: len(text))
