"""Scores of a response against its reference: exact match, ROUGE-L and token F1."""

from __future__ import annotations

import functools
import re
import string
from collections import Counter
from typing import Any

PUNCTUATION = str.maketrans("", "", string.punctuation)


def scores(reference: str, response: str) -> dict[str, float]:
    """Each from 0 to 1. `exact_match`: the texts are equal but for space around them."""
    return {
        "exact_match": float(reference.strip() == response.strip()),
        "rouge_l": float(rouge().score(reference, response)["rougeL"].fmeasure),
        "token_f1": token_f1(reference, response),
    }


@functools.cache
def rouge() -> Any:
    """Google's ROUGE (Lin 2004, section 3: F of the longest common subsequence of words), without stemming."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False)


def token_f1(reference: str, response: str) -> float:
    """F1 of the words that both hold, as SQuAD counts them (Rajpurkar et al. 2016, section 6.1): lower case, without
    punctuation and articles.

    >>> token_f1("The cat sat.", "a cat slept")
    0.5
    """
    right, found = words(reference), words(response)
    shared = (Counter(right) & Counter(found)).total()
    if not right or not found:
        return float(right == found)
    return 2 * shared / (len(right) + len(found))


def words(text: str) -> list[str]:
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(PUNCTUATION)).split()
