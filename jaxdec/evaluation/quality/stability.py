"""Whether tokens come together as words: words that the corpus has, and tokens that the tokenizer would cut again."""

from __future__ import annotations

from collections.abc import Set
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.evaluation.quality.segments import words

REPLACEMENT = "\ufffd"  # what bytes that are no UTF-8 are decoded to


def known_words(text: str, vocabulary: Set[str]) -> tuple[int, int]:
    """(words that the vocabulary has, words) of a text. The vocabulary is in lower case. The first and the last word
    are left out: they may be cut."""
    found = words(text)[1:-1]
    return sum(word.lower() in vocabulary for word in found), len(found)


def broken_words(text: str, vocabulary: Set[str], tokenizer: Tokenizer) -> tuple[int, int]:
    """(words that the vocabulary lacks, words), of those that take several tokens: pieces that were put together to a
    word that there is not. The first and the last word are left out."""

    def is_cut(word: str) -> bool:
        return min(len(tokenizer.encode(word)), len(tokenizer.encode(f" {word}"))) > 1

    found = [word for word in words(text)[1:-1] if is_cut(word)]
    return sum(word.lower() not in vocabulary for word in found), len(found)


def recut_tokens(ids: Any, tokenizer: Tokenizer) -> tuple[int, int]:
    """(tokens that are not the tokenizer's own way to write their text, tokens).

    Subwords can write a text in several ways, of which training shows the model one: `i` and `ng` decode to "ing" too,
    and are tokens in an order that it has never seen. Counted are the tokens outside of the longest matching runs of
    both sequences.
    """
    given = np.asarray(ids).tolist()
    again = tokenizer.encode(tokenizer.decode(given), allow_special=True).tolist()
    blocks = SequenceMatcher(None, given, again, autojunk=False).get_matching_blocks()
    return len(given) - sum(block.size for block in blocks), len(given)


def broken_characters(text: str) -> tuple[int, int]:
    """(characters whose bytes are no UTF-8, characters), without the two ends, which may be cut inside of one."""
    inner = text.strip(REPLACEMENT)
    return inner.count(REPLACEMENT), len(inner)
