"""The base of all corpora: a text, the settings that determine it, what is known about it; and generated corpora."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxdec.errors import UserError


@dataclass(frozen=True)
class Corpus:
    """`hash` is of what determines the text: equal hashes, equal texts. The text is read or made at the first use.

    `conditional_entropy(n)`: H(next character | n characters before) in nats, or a lower bound of it; None if unknown.
    `answers(text)`: bool, the characters of a stretch of the text that are certain; None if there are none.
    """

    name: str
    hash: str
    read: Callable[[], str]
    conditional_entropy: Callable[[int], float] | None = None
    answers: Callable[[str], np.ndarray] | None = None

    @functools.cached_property
    def text(self) -> str:
        return self.read()


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
