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


class Problem(NamedTuple):
    """A prompt, and the one right answer to it, which a newline ends."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Problems:
    """Prompts whose answers can be checked, in the order of the text. `complete`: there are no others."""

    all: list[Problem]
    complete: bool

    def split(self, validation_fraction: float) -> tuple[list[Problem], list[Problem]]:
        """Those to learn from and those to be judged by: the lines of the text's validation split, or, where the
        problems are complete and every text has all of them, the same."""
        if self.complete:
            return self.all, self.all
        ends = np.cumsum([len(problem.prompt) + len(problem.answer) + 1 for problem in self.all])
        first = int(np.searchsorted(ends, (1 - validation_fraction) * ends[-1])) + 1
        first = min(first, len(self.all) - 1)
        return self.all[:first], self.all[first:]


@dataclass(frozen=True)
class Corpus:
    """`hash` is of what determines the text: equal hashes, equal texts. The text is read or made at the first use.

    `pieces(after)`: the pieces behind a place, from the beginning for None; the same for every call, each of PIECE
    characters at most, about. `characters()` counts those of a corpus of one document, which is split into training and
    validation by position; None for a corpus of many documents, which is split by document. `share(place)`: about which
    share of a corpus of many documents lies before a place, 0 to 1, for the time left; None if unknown.
    `conditional_entropy(n)`: H(next character | n characters before) in nats, or a lower bound of it; None if unknown.
    `answers(text)`: bool, the characters of a stretch of the text that are certain; None if there are none.
    `problems()`: what the text asks and answers, line by line; None where no answer can be checked.
    """

    name: str
    hash: str
    pieces: Callable[[Place | None], Iterator[Piece]]
    characters: Callable[[], int] | None
    conditional_entropy: Callable[[int], float] | None = None
    answers: Callable[[str], np.ndarray] | None = None
    share: Callable[[Place], float] | None = None
    problems: Callable[[], Problems] | None = None

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
    problems: Callable[[], Problems] | None = None,
) -> Corpus:
    """The corpus of one text that fits into memory; `read` is called once, when the text is first needed."""
    read = functools.cache(read)

    def pieces(after: Place | None) -> Iterator[Piece]:
        text = read()
        for start in range(0 if after is None else after[1], len(text), PIECE):
            end = min(start + PIECE, len(text))
            yield Piece(text[start:end], end == len(text), (0, end))

    return Corpus(name, hash, pieces, lambda: len(read()), conditional_entropy, answers, problems=problems)


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
