"""The corpus `markov`: a stationary chain of order k over eight letters, and its exact loss with n letters of context.

H(next | n letters before) is exact for every n: from the stationary distribution of blocks of n + 1 letters while
n < k, the entropy rate from n = k on. A model that reads n letters and has a lower loss reads what it must not.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import random

import numpy as np

from jaxdec.data.corpora.base import Corpus, Generated, Number, one_text
from jaxdec.data.files import sha256

ALPHABET = "abcdefgh"
ORDER = 2
MAX_ORDER = 5
SEED = 1
CHARACTERS = 1_000_000


class Markov:
    """P(next | k letters before), drawn from the seed: each row is a vector of cubed exponentials, scaled to sum 1.

    Cubing makes the rows uneven, so that context pays. `random.Random.random` is the only source of randomness: its
    stream for a seed is kept by Python from version to version.
    """

    def __init__(self, order: int = ORDER, seed: int = SEED) -> None:
        self.order, self.seed = order, seed
        source = random.Random(seed)
        letters = len(ALPHABET)
        draws = [-math.log(1 - source.random()) for _ in range(letters ** (order + 1))]
        weights = np.array(draws).reshape((letters,) * (order + 1)) ** 3
        self.transitions = weights / weights.sum(axis=-1, keepdims=True)  # [letters] * (order + 1)

    @functools.cached_property
    def blocks(self) -> np.ndarray:
        """The stationary probabilities of k + 1 letters in a row: [letters] * (order + 1), by power iteration."""
        state = np.full((len(ALPHABET),) * self.order, len(ALPHABET) ** -float(self.order))
        for _ in range(10_000):
            block = state[..., None] * self.transitions
            after = block.sum(axis=0) if self.order else state
            converged = np.abs(after - state).sum() < 1e-15
            state = after / after.sum()
            if converged:
                break
        return state[..., None] * self.transitions

    def conditional_entropy(self, n: int) -> float:
        """H(next | n letters before) in nats; it falls with n and is constant from the order on."""
        n = min(n, self.order)
        block = self.blocks.sum(axis=tuple(range(self.order - n)))  # [letters] * (n + 1)
        return _entropy(block) - _entropy(block.sum(axis=-1))

    def log_probability(self, text: str) -> float:
        """log p in nats of any stretch of the chain."""
        ids = np.array([ALPHABET.index(letter) for letter in text])
        first = min(self.order, len(ids))
        start = self.blocks.sum(axis=tuple(range(first, self.order + 1)))
        total = math.log(start[tuple(ids[:first])]) if first else 0.0
        windows = [ids[i : len(ids) - self.order + i] for i in range(self.order + 1)]
        return total + float(np.log(self.transitions[tuple(windows)]).sum()) if len(ids) > self.order else total

    def generate(self, characters: int = CHARACTERS) -> str:
        """The chain from its stationary distribution on. A pure function of order, seed and length."""
        letters = len(ALPHABET)
        source = random.Random(f"{self.seed} text")
        starts = list(itertools.accumulate(self.blocks.sum(axis=-1).reshape(-1).tolist()))
        rows = np.cumsum(self.transitions, axis=-1).reshape(-1, letters)[:, :-1].tolist()
        state = min(bisect.bisect_right(starts, source.random()), len(starts) - 1)
        out = [state // letters**i % letters for i in reversed(range(self.order))]
        for _ in range(characters - self.order):
            letter = bisect.bisect_right(rows[state], source.random())
            out.append(letter)
            state = (state * letters + letter) % len(rows)
        return "".join(ALPHABET[letter] for letter in out[:characters])

    def fingerprint(self, characters: int = CHARACTERS) -> str:
        """A hash of what determines `generate`'s text."""
        return sha256(f"markov {ALPHABET} {self.order} {self.seed} {characters}".encode())


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())


def corpus(name: str, order: int) -> Corpus:
    chain = Markov(order)
    return one_text(name, chain.fingerprint(), chain.generate, chain.conditional_entropy)


CORPUS = Generated(
    "a Markov chain of order 2 over 8 letters, 1 MB, exact entropies; markov:K for order K (generated)",
    corpus,
    Number("order", "K", ORDER, 0, MAX_ORDER),
)
