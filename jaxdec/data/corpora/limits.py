"""The first documents of a corpus, for those who want a part of it."""

from __future__ import annotations

from collections.abc import Iterator

from jaxdec.data.corpora.base import Corpus, Piece, Place
from jaxdec.data.files import sha256
from jaxdec.errors import UserError

COUNTS = 2**40  # an offset of the limited corpus is (offset of the corpus) * COUNTS + (documents that lie behind)


def first_documents(corpus: Corpus, limit: int) -> Corpus:
    """The corpus up to the end of its document number `limit`. UserError for a corpus that is one text."""
    if corpus.characters is not None:
        raise UserError(
            f"data.limit_documents is for corpora of many documents, and {corpus.name} is one text: leave it out"
        )

    def pieces(after: Place | None) -> Iterator[Piece]:
        start, count = (None, 0) if after is None else ((after[0], after[1] // COUNTS), after[1] % COUNTS)
        if count >= limit:
            return
        for text, ends, (part, offset) in corpus.pieces(start):
            count += ends
            yield Piece(text, ends, (part, offset * COUNTS + count))
            if count >= limit:
                return

    def share(place: Place) -> float:
        part, offset = place
        of_all = corpus.share((part, offset // COUNTS)) if corpus.share is not None else 0.0
        return min(1.0, max(of_all, offset % COUNTS / limit))

    return Corpus(corpus.name, sha256(f"{corpus.hash} {limit} documents".encode()), pieces, None, share=share)
