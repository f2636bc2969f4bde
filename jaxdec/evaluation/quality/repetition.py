"""Repetition within a text, the best known fault of likely text (Holtzman et al. 2020), and variety across texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from jaxdec.evaluation.quality.estimate import Estimate, jackknife

LOOP_PHRASE, LOOP_TIMES = 2, 3  # Holtzman et al. 2020, figure 9


def ngrams(symbols: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    """All runs of n symbols, in order."""
    return list(zip(*(symbols[start:] for start in range(n)), strict=False))


def repeated_share(symbols: Sequence[Hashable], n: int) -> float | None:
    """seq-rep-n of Welleck et al. 2020: 1 - (different n-grams) / (n-grams) of one text; None where it has none.

    >>> repeated_share("to be or not to be".split(), 2)
    0.2
    """
    found = ngrams(symbols, n)
    return (len(found) - len(set(found))) / len(found) if found else None


def ends_in_loop(symbols: Sequence[Hashable]) -> bool:
    """Whether the text ends in a phrase of at least two symbols that is said at least three times in a row (Holtzman et
    al. 2020, figure 9).

    >>> ends_in_loop("so it is and it is and it is and".split())
    True
    """
    text = list(symbols)
    for length in range(LOOP_PHRASE, len(text) // LOOP_TIMES + 1):
        phrases = [text[len(text) - length * (turn + 1) : len(text) - length * turn] for turn in range(LOOP_TIMES)]
        if all(phrase == phrases[0] for phrase in phrases):
            return True
    return False


def distinct(texts: Sequence[Sequence[Hashable]], n: int) -> Estimate | None:
    """distinct-n of Li et al. 2016: different n-grams over n-grams, of all texts together.

    It falls with the length of the texts, so only texts of the same length can be compared.
    """
    found = [ngrams(text, n) for text in texts]
    found = [grams for grams in found if grams]
    if not found:
        return None
    total = sum(map(len, found))
    owners = Counter(gram for grams in found for gram in set(grams))  # how many texts have each
    own = np.array([sum(owners[gram] == 1 for gram in set(grams)) for grams in found])
    rest = total - np.array([len(grams) for grams in found])
    without = (len(owners) - own) / rest if len(found) > 1 else []
    return jackknife(len(owners) / total, without)
