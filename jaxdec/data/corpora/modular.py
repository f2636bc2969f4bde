"""The corpus `modular`: sums modulo p, one a line, `7+k=4` for 7 + 20 = 4 modulo 23. A number is one character, so that
there is nothing to learn about digits; what is learned is a table of p x p answers (Power et al. 2022)."""

from __future__ import annotations

import functools
import math
import random
import string

import numpy as np

from jaxdec.data.corpora.base import Corpus, Generated, Number, Problem, Problems, one_text
from jaxdec.data.files import sha256

NUMBERS = string.digits + string.ascii_lowercase
MODULUS = 23
MAX_MODULUS = len(NUMBERS)
LINE = len("a+b=c\n")
SEED = 1
LINES = 170_000


def generate(modulus: int = MODULUS, lines: int = LINES, seed: int = SEED) -> str:
    """A pure function of its numbers: `random.Random.random` keeps its stream from version to version."""
    source = random.Random(f"modular {seed}")
    pairs = [(int(source.random() * modulus), int(source.random() * modulus)) for _ in range(lines)]
    return "".join(f"{NUMBERS[a]}+{NUMBERS[b]}={NUMBERS[(a + b) % modulus]}\n" for a, b in pairs)


def problems(modulus: int = MODULUS) -> Problems:
    """All sums."""
    numbers = NUMBERS[:modulus]
    return Problems(
        [
            Problem(f"{first}+{second}=", NUMBERS[(a + b) % modulus])
            for a, first in enumerate(numbers)
            for b, second in enumerate(numbers)
        ],
        complete=True,
    )


def entropy_rate(modulus: int = MODULUS) -> float:
    """Nats per character, exact: two free numbers a line, all else follows."""
    return 2 * math.log(modulus) / LINE


def answers(text: str) -> np.ndarray:
    """bool [characters]: those after an equals sign."""
    return np.array([False, *(character == "=" for character in text[:-1])][: len(text)])


def fingerprint(modulus: int = MODULUS, lines: int = LINES, seed: int = SEED) -> str:
    """A hash of what determines `generate`'s text."""
    return sha256(f"modular {NUMBERS} {modulus} {lines} {seed}".encode())


def corpus(name: str, modulus: int) -> Corpus:
    rate = entropy_rate(modulus)
    generated, asked = functools.partial(generate, modulus), functools.partial(problems, modulus)
    return one_text(name, fingerprint(modulus), generated, lambda n: rate, answers, asked)


CORPUS = Generated(
    "sums modulo 23, `7+k=4`; modular:P for another P (generated)",
    corpus,
    Number("modulus", "P", MODULUS, 2, MAX_MODULUS),
)
