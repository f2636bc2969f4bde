"""Tokens of one row, as they come, turned into text that is never taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxdec.errors import UserError

if TYPE_CHECKING:
    from jaxdec.data.tokenizers.registry import Tokenizer

UNFINISHED = "\ufffd"  # what a tokenizer makes of the first bytes of a character whose last ones are still to come


def start_tokens(tokenizer: Tokenizer) -> np.ndarray:
    """What an empty prompt is continued from: <|endoftext|>, else an empty line, else token 0."""
    if tokenizer.end_of_text is not None:
        return np.array([tokenizer.end_of_text], np.int32)
    try:
        tokens = tokenizer.encode("\n\n")
    except UserError:
        tokens = np.zeros(0, np.int32)
    return tokens if len(tokens) else np.zeros(1, np.int32)


class TextStream:
    """Gives out a row's text piece by piece, and ends it before the first `stop` string.

    What may be the beginning of `stop`, or of a character, is held back until it is decided. `before` are the tokens of
    the text that is continued: the tokenizer decides whether a space belongs between the two.
    """

    def __init__(self, tokenizer: Tokenizer, stop: str | None, before: np.ndarray | Sequence[int] = ()):
        self.tokenizer, self.stop = tokenizer, stop
        self.ids = [int(token) for token in before]
        self.skipped = len(tokenizer.decode(np.array(self.ids, np.int32))) if self.ids else 0  # characters of `before`
        self.text = ""  # all of it, with what is held back
        self.given = 0  # characters given out
        self.ended = False  # whether `stop` has come

    def add(self, tokens: np.ndarray) -> str:
        """Takes new tokens; returns the text that they settle."""
        if self.ended or not len(tokens):
            return ""
        self.ids.extend(int(token) for token in tokens)
        self.text = self.tokenizer.decode(np.array(self.ids, np.int32))[self.skipped :]
        place = -1 if self.stop is None else self.text.find(self.stop)
        if place >= 0:
            self.text, self.ended = self.text[:place], True
        return self._give(len(self.text) if self.ended else len(self.text) - self._undecided())

    def finish(self) -> str:
        """No more tokens come: returns what was held back."""
        return self._give(len(self.text))

    def _give(self, end: int) -> str:
        piece = self.text[self.given : end]
        self.given += len(piece)
        return piece

    def _undecided(self) -> int:
        """Characters at the end that the next tokens may change or cut off."""
        whole = self.text.rstrip(UNFINISHED)
        begun = 0
        if self.stop is not None:
            sizes = range(len(self.stop) - 1, 0, -1)
            begun = next((size for size in sizes if whole.endswith(self.stop[:size])), 0)
        return len(self.text) - len(whole) + begun
