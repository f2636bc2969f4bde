"""Words and punctuation as tokens: the tokenizer to learn from.

A text is cut at white space, at "--" and around punctuation, as in chapter 2 of Raschka, "Build a Large Language Model
(From Scratch)". White space is not kept and words that training never saw become <|unk|>, so text is lost by design.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np

from jaxdec.config.tokenizers import Words
from jaxdec.data.tokenizers.base import END_OF_TEXT, BaseTokenizer, Cut, require_unicode
from jaxdec.data.tokenizers.pieces import WORD_SEAMS, last_seam

UNKNOWN = "<|unk|>"
_CUTS = re.compile(r"""(--|[,.:;?_!"()'])|\s+""")
_CLOSING = frozenset(",.:;?!)")
_GLUE = frozenset(("'", "--"))  # no space on either side


class WordTokenizer(BaseTokenizer):
    """Ids follow the sorted words; <|endoftext|> and <|unk|> are the last two.

    >>> tokenizer = WordTokenizer.train("Do you like tea, or do you not?")
    >>> tokenizer.decode(tokenizer.encode("do  you like coffee?"))
    'do you like <|unk|>?'
    """

    kind: ClassVar[str] = "words"

    def __init__(self, words: list[str]) -> None:
        if words != sorted(set(words)) or any(split(word) != [word] for word in words):
            raise ValueError("words")
        self.words = words
        self._tokens = [*words, END_OF_TEXT, UNKNOWN]
        self._ids = {word: number for number, word in enumerate(words)}

    @classmethod
    def train(cls, texts: str | Iterable[str]) -> Self:
        """The words of the training split, without those that look like a special token."""
        words: set[str] = set()
        for text in [texts] if isinstance(texts, str) else texts:
            require_unicode(text)
            words.update(split(text))
        return cls(sorted(words - {END_OF_TEXT, UNKNOWN}))

    @classmethod
    def from_settings(cls, settings: Words, texts: Iterable[str] | None) -> Self | None:
        return None if texts is None else cls.train(texts)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        words = values["words"]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise TypeError("words")
        return cls(words)

    @property
    def vocab_size(self) -> int:
        return len(self._tokens)

    @property
    def end_of_text(self) -> int:
        return len(self.words)

    def _ordinary(self, text: str) -> np.ndarray:
        unknown = len(self.words) + 1
        return np.array([self._ids.get(word, unknown) for word in split(text)], np.int32)

    def last_cut(self, text: str) -> Cut | None:
        place = last_seam(text, WORD_SEAMS)
        return None if place is None else (place, place)

    def _decode(self, ids: list[int]) -> str:
        """Where spaces stood is guessed, from the left alone, so that more ids never change what is there."""
        pieces: list[str] = []
        before, quoted = "", False
        for token in (self._tokens[i] for i in ids):
            closes = token in _CLOSING or token in _GLUE or (token == '"' and quoted)
            opened = before in _GLUE or before == "(" or (before == '"' and quoted)
            if pieces and not closes and not opened:
                pieces.append(" ")
            pieces.append(token)
            before, quoted = token, quoted != (token == '"')
        return "".join(pieces)

    def _map(self) -> dict[str, Any]:
        return {"words": self.words}


def split(text: str) -> list[str]:
    """The words and punctuation marks of a text, in order.

    >>> split("It's late--go!")
    ['It', "'", 's', 'late', '--', 'go', '!']
    """
    return [part for part in _CUTS.split(text) if part]
