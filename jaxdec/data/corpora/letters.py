"""The corpora `reverse` and `sort`: a string of letters, a mark, the same letters reversed or in order: `cab>bac`.

The strings are those of the pairs that encoder-decoders learn from (`reversal.py`), as lines of a text for a decoder.
"""

from __future__ import annotations

import functools

import numpy as np

from jaxdec.data.corpora import reversal
from jaxdec.data.corpora.base import Corpus, Generated, Problem, Problems, one_text
from jaxdec.data.files import sha256

MARK = ">"


def problems(task: str) -> Problems:
    """A problem for each line of the text, in its order."""
    return Problems([Problem(source + MARK, answer) for source, answer in reversal.generate(task)], complete=False)


def generate(task: str) -> str:
    return "".join(f"{prompt}{answer}\n" for prompt, answer in problems(task).all)


def entropy_rate() -> float:
    """Nats per character, from below: of a line that is none of those before it. The letters before the mark are free,
    all else follows."""
    lengths = np.arange(reversal.SHORTEST, reversal.LONGEST + 1)
    strings = float(len(reversal.LETTERS)) ** lengths
    unseen = 1 - reversal.PAIRS / len(lengths) / strings  # of each length, after all lines of the text
    p = unseen / unseen.sum()
    return float(p @ (np.log(strings * unseen) - np.log(p)) / (p @ (2 * lengths + len(MARK) + len("\n"))))


def answers(text: str) -> np.ndarray:
    """bool [characters]: those between a mark and the end of its line."""
    certain, inside = np.zeros(len(text), bool), False
    for index, character in enumerate(text):
        certain[index] = inside = inside and character != "\n"
        inside = inside or character == MARK
    return certain


def corpus(task: str) -> Corpus:
    rate = entropy_rate()
    fingerprint = f"{task} {MARK} {reversal.LETTERS} {reversal.SHORTEST} {reversal.LONGEST} {reversal.PAIRS}"
    return one_text(
        task,
        sha256(f"{fingerprint} {reversal.SEED}".encode()),
        functools.partial(generate, task),
        lambda n: rate,
        answers,
        functools.partial(problems, task),
    )


REVERSE = Generated("lines of letters and the same letters reversed, `cab>bac` (generated)", corpus)
SORT = Generated("lines of letters and the same letters in order, `cab>abc` (generated)", corpus)
