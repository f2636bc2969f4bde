"""Characters as tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np

from jaxdec.config.tokenizers import Characters
from jaxdec.data.files import sha256
from jaxdec.data.tokenizers.base import BaseTokenizer, Cut, UnseenCharacter
from jaxdec.errors import UserError


class CharTokenizer(BaseTokenizer):
    """One token per character (Unicode code point). Ids follow the order of the code points.

    >>> tokenizer = CharTokenizer.train("abba")
    >>> tokenizer.encode("ba").tolist(), tokenizer.decode([0, 0, 1])
    ([1, 0], 'aab')
    """

    kind: ClassVar[str] = "char"

    def __init__(self, characters: str) -> None:
        if not characters:
            raise UserError("a character tokenizer needs at least one character: train it on a text that is not empty")
        if list(characters) != sorted(set(characters)):
            raise ValueError("the characters of a tokenizer must be different and sorted")
        self.characters = characters
        self._points = _code_points(characters)

    @classmethod
    def train(cls, texts: str | Iterable[str]) -> Self:
        """The characters of the training split: of no other text, or validation would leak into the vocabulary."""
        return cls("".join(sorted(set().union(*map(set, [texts] if isinstance(texts, str) else texts)))))

    @classmethod
    def from_settings(cls, settings: Characters, texts: Iterable[str] | None) -> Self | None:
        return None if texts is None else cls.train(texts)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        characters = values["characters"]
        if not isinstance(characters, str) or not characters:
            raise TypeError("characters")
        return cls(characters)

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    @property
    def hash(self) -> str:
        return sha256(f"{self.kind}\n{self.characters}".encode("utf-8", "surrogatepass"))

    def encode(self, text: str, allow_special: bool = False) -> np.ndarray:
        """int32 [len(text)]. UserError for the first character that training never saw, with its place.

        Half of a surrogate pair is such a character, so there is no check before; and there are no special tokens.
        """
        return self._ordinary(text)

    def last_cut(self, text: str) -> Cut | None:
        return (len(text), len(text)) if text else None

    def _ordinary(self, text: str) -> np.ndarray:
        points = _code_points(text)
        ids = np.searchsorted(self._points, points)
        known = self._points[np.minimum(ids, len(self._points) - 1)] == points
        if not known.all():
            raise UnseenCharacter(text, int(np.argmin(known)))
        return ids.astype(np.int32)

    def _decode(self, ids: list[int]) -> str:
        return "".join(self.characters[i] for i in ids)

    def _map(self) -> dict[str, Any]:
        return {"characters": self.characters}


def _code_points(text: str) -> np.ndarray:
    """uint32 [len(text)]. `surrogatepass`: a lone surrogate from a broken terminal is an unseen character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
