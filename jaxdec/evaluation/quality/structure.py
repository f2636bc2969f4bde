"""The structure of a text: lengths of sentences, brackets and quotes that close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxdec.evaluation.quality.estimate import Estimate, jackknife
from jaxdec.evaluation.quality.segments import paragraphs, sentences, words

BRACKETS = {"(": ")", "[": "]", "{": "}", "«": "»", "“": "”"}
_CLOSING = {closing: opening for opening, closing in BRACKETS.items()}


def sentence_lengths(text: str) -> list[int]:
    """Words of each sentence; the first and the last are left out: they may be cut."""
    return [len(words(sentence)) for sentence in sentences(text)[1:-1]]


def length_distance(lengths: Sequence[Sequence[int]], corpus: Sequence[int] | np.ndarray) -> Estimate | None:
    """The Wasserstein distance, in words, between the sentence lengths of texts and those of a corpus: by how many
    words a sentence must be lengthened or shortened, on average, to turn the one distribution into the other."""
    from scipy.stats import wasserstein_distance

    found = [each for each in lengths if len(each)]
    if not found or not len(corpus):
        return None

    def distance(chosen: Sequence[Sequence[int]]) -> float:
        return float(wasserstein_distance(np.concatenate(chosen), corpus))

    without = [distance([*found[:row], *found[row + 1 :]]) for row in range(len(found))] if len(found) > 1 else []
    return jackknife(distance(found), without)


def matched_brackets(text: str) -> tuple[int, int]:
    """(brackets and typographic quotes that have their counterpart, all of them) in a text.

    One that is still open at the end is left out: the text is cut there.

    >>> matched_brackets("(a [b] c] (d")
    (2, 3)
    """
    matched = counted = 0
    opened: list[str] = []
    for character in text:
        if character in BRACKETS:
            opened.append(character)
        elif (opening := _CLOSING.get(character)) is not None:
            if opening in opened:
                while opened.pop() != opening:
                    counted += 1  # opened inside of the pair, and never closed
                matched, counted = matched + 2, counted + 2
            else:
                counted += 1
    return matched, counted


def closed_quotes(text: str) -> tuple[int, int]:
    """(paragraphs with an even number of straight double quotes, paragraphs that have any). The first and the last
    paragraph are left out: they may be cut."""
    counts = [paragraph.count('"') for paragraph in paragraphs(text)[1:-1] if '"' in paragraph]
    return sum(count % 2 == 0 for count in counts), len(counts)
