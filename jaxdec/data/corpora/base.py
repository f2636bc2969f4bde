"""The base of all corpora: pieces of text, the settings that determine them, what is known about them; and generated
corpora.

A corpus is read as a stream of pieces, so that its size does not matter, and can be read on from any piece's end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxdec.errors import UserError

PIECE = 2**20  # characters: what a piece holds at most, about

Place = tuple[int, int]  # the number of the part (a file, a shard), and an offset in it that its reader understands


class Piece(NamedTuple):
    """A stretch of one document, as read. Places grow from piece to piece."""

    text: str
    ends: bool  # the document ends with this piece
    place: Place  # reading goes on after this piece from here


@dataclass(frozen=True)
class Corpus:
    """`hash` is of what determines the text: equal hashes, equal texts. The text is read or made at the first use.

    `pieces(after)`: the pieces behind a place, from the beginning for None; the same for every call, each of PIECE
    characters at most, about. `characters()` counts those of a corpus of one document, which is split into training and
    validation by position; None for a corpus of many documents, which is split by document. `share(place)`: about which
    share of a corpus of many documents lies before a place, 0 to 1, for the time left; None if unknown.
    `conditional_entropy(n)`: H(next character | n characters before) in nats, or a lower bound of it; None if unknown.
    `answers(text)`: bool, the characters of a stretch of the text that are certain; None if there are none.
    """

    name: str
    hash: str
    pieces: Callable[[Place | None], Iterator[Piece]]
    characters: Callable[[], int] | None
    conditional_entropy: Callable[[int], float] | None = None
    answers: Callable[[str], np.ndarray] | None = None
    share: Callable[[Place], float] | None = None

    @functools.cached_property
    def text(self) -> str:
        """All of it in one string: for corpora that fit into memory."""
        return "".join(piece.text for piece in self.pieces(None))


def one_text(
    name: str,
    hash: str,
    read: Callable[[], str],
    conditional_entropy: Callable[[int], float] | None = None,
    answers: Callable[[str], np.ndarray] | None = None,
) -> Corpus:
    """The corpus of one text that fits into memory; `read` is called once, when the text is first needed."""
    read = functools.cache(read)

    def pieces(after: Place | None) -> Iterator[Piece]:
        text = read()
        for start in range(0 if after is None else after[1], len(text), PIECE):
            end = min(start + PIECE, len(text))
            yield Piece(text[start:end], end == len(text), (0, end))

    return Corpus(name, hash, pieces, lambda: len(read()), conditional_entropy, answers)


class Number(NamedTuple):
    """The number that a corpus takes after a colon, as in `markov:3`: what it is, its letter in messages, its range."""

    what: str
    letter: str
    default: int
    least: int
    most: int


@dataclass(frozen=True)
class Generated:
    """A corpus that a program writes. `make(name)` gives it, or `make(name, number)` where it takes a number."""

    about: str
    make: Callable[..., Corpus]
    number: Number | None = None

    def load(self, name: str) -> Corpus:
        """The corpus of a name such as `markov` or `markov:3`. Raises UserError for a number that it cannot take."""
        base, colon, option = name.partition(":")
        if self.number is None:
            return self.make(name)
        what, letter, default, least, most = self.number
        if not colon:
            return self.make(name, default)
        if not (option.isascii() and option.isdigit() and least <= int(option) <= most):
            raise UserError(
                f"the corpus {name!r} has no {what}: write {base}:{letter} with a whole {letter} from {least} to {most}"
            )
        return self.make(name, int(option))
