"""The corpus `induction`: what came after this letter the last time? The answer has to be looked up in the line itself.

Each line holds five different letters in random order, and then six times one of the first four and the letter that
stands after it: `gkbpa` `bp` `gk` `pa` `bp` `kb` `gk`. A model finds an answer in two steps, of which
the second reads the first: "what stands before me" at every letter, then "who stands after what I am" (Olsson et al.
2022, an induction head). One layer of attention finds which letters there are, but not which follows which.
"""

from __future__ import annotations

import math
import random
import string

import numpy as np

from jaxdec.data.corpora.base import Corpus, Generated, one_text
from jaxdec.data.files import sha256

LETTERS = string.ascii_lowercase
SHOWN = 5
QUESTIONS = 6
LINE = SHOWN + 2 * QUESTIONS + 1  # characters, the end of the line included
SEED = 1
LINES = 60_000


def generate(lines: int = LINES, seed: int = SEED) -> str:
    """A pure function of its two numbers: `random.Random.random` keeps its stream from version to version."""
    source = random.Random(f"induction {seed}")

    def draw(choices: int) -> int:
        return int(source.random() * choices)

    text: list[str] = []
    for _ in range(lines):
        left = list(LETTERS)
        shown = "".join(left.pop(draw(len(left))) for _ in range(SHOWN))
        places = [draw(SHOWN - 1) for _ in range(QUESTIONS)]
        text.append(shown + "".join(shown[place : place + 2] for place in places) + "\n")
    return "".join(text)


def entropy_rate() -> float:
    """Nats per character, exact: letters without repetition, then one of four for each question."""
    letters = sum(math.log(len(LETTERS) - place) for place in range(SHOWN))
    return (letters + QUESTIONS * math.log(SHOWN - 1)) / LINE


def answers(text: str) -> np.ndarray:
    """bool [characters]: those that are answers, in any stretch of the corpus that holds the end of a line."""
    place = (np.arange(len(text)) - text.index("\n") - 1) % LINE
    return (place >= SHOWN) & (place < LINE - 1) & ((place - SHOWN) % 2 == 1)


def fingerprint(lines: int = LINES, seed: int = SEED) -> str:
    """A hash of what determines `generate`'s text."""
    return sha256(f"induction {LETTERS} {SHOWN} {QUESTIONS} {lines} {seed}".encode())


def corpus(name: str) -> Corpus:
    rate = entropy_rate()
    return one_text(name, fingerprint(), generate, lambda n: rate, answers)


CORPUS = Generated(
    "lines to look up: which letter followed this one? Solved by two attention layers (generated)", corpus
)
