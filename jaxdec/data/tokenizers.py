"""Text to token ids and back. A tokenizer is known by its `kind` and fixed by its map, whose hash goes with it.

A new kind is a class with the methods of `Tokenizer` and a line in `KINDS`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from jaxdec.data.files import new_folder, read_bytes, sha256
from jaxdec.errors import UserError, nearest

FILE = "tokenizer.json"


@runtime_checkable
class Tokenizer(Protocol):
    """Ids are int32 from 0 to vocab_size - 1. `hash` is the sha256 (hex) of the map: equal hashes, equal ids."""

    kind: ClassVar[str]

    @property
    def vocab_size(self) -> int: ...
    @property
    def hash(self) -> str: ...
    def encode(self, text: str) -> np.ndarray: ...
    def decode(self, ids: Any) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...
    def save(self, folder: Path) -> None: ...


class UnseenCharacter(UserError):
    """A character of the text at `offset` that the tokenizer's training text never had."""

    def __init__(self, text: str, offset: int) -> None:
        self.offset = offset
        super().__init__(
            f"the character {text[offset]!r} ({place_of(text, offset)}) is not in the tokenizer's vocabulary, that of "
            f"its training text: remove or replace it, or train on a text that has it"
        )


def place_of(text: str, offset: int) -> str:
    """Where a user finds the character: "offset 5, line 2, column 3", the line and column counted from 1."""
    column = offset - text.rfind("\n", 0, offset)
    return f"offset {offset}, line {text.count(chr(10), 0, offset) + 1}, column {column}"


class CharTokenizer:
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
            raise UserError("the characters of a tokenizer must be different and sorted: its map was changed by hand")
        self.characters = characters
        self._points = _code_points(characters)

    @classmethod
    def train(cls, text: str) -> Self:
        """The characters of the training split: of no other text, or validation would leak into the vocabulary."""
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    @property
    def hash(self) -> str:
        return sha256(f"{self.kind}\n{self.characters}".encode())

    def encode(self, text: str) -> np.ndarray:
        """int32 [len(text)]. UserError for the first character that training never saw, with its place."""
        points = _code_points(text)
        ids = np.searchsorted(self._points, points)
        known = self._points[np.minimum(ids, len(self._points) - 1)] == points
        if not known.all():
            raise UnseenCharacter(text, int(np.argmin(known)))
        return ids.astype(np.int32)

    def decode(self, ids: Any) -> str:
        """The text of any sequence of ids. UserError for an id outside the vocabulary."""
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        if array.size and not (array.min() >= 0 and array.max() < self.vocab_size):
            wrong = array[(array < 0) | (array >= self.vocab_size)][0]
            raise UserError(
                f"the token id {wrong} is outside the vocabulary of {self.vocab_size}: use this model's tokenizer"
            )
        return "".join(self.characters[i] for i in array.tolist())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with the hash that `tokenizer_from_dict` checks."""
        return {"kind": self.kind, "characters": self.characters, "hash": self.hash}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        characters = values["characters"]
        if not isinstance(characters, str):
            raise TypeError("characters")
        return cls(characters)

    def save(self, folder: Path) -> None:
        """Makes `folder` with tokenizer.json in it; a folder that is there already must hold the same tokenizer."""
        save_tokenizer(self, folder)


KINDS: dict[str, type[CharTokenizer]] = {CharTokenizer.kind: CharTokenizer}


def tokenizer_from_dict(values: dict[str, Any], place: str = "the checkpoint") -> Tokenizer:
    """The inverse of `to_dict`. UserError, with `place` in it, where the map is damaged or does not fit its hash."""
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"the tokenizer in {place} is of the unknown kind {kind!r}{nearest(str(kind), KINDS)}")
    try:
        tokenizer = KINDS[kind].from_dict(values)
    except (KeyError, TypeError):
        raise UserError(
            f"the tokenizer in {place} is damaged: its map is missing. Take it from another checkpoint"
        ) from None
    if tokenizer.hash != values.get("hash"):
        raise UserError(
            f"the tokenizer in {place} does not fit its hash: it was changed. Take it from another checkpoint"
        )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    if folder.exists():
        if load_tokenizer(folder).hash != tokenizer.hash:
            raise UserError(f"{folder} holds another tokenizer: choose another folder, or delete this one")
        return
    with new_folder(folder, "the tokenizer's folder") as temporary:
        (temporary / FILE).write_text(json.dumps(tokenizer.to_dict(), indent=1) + "\n", encoding="utf-8")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Reads what `save` wrote and checks its hash."""
    path = folder / FILE
    content = read_bytes(path, "the tokenizer")
    try:
        values = json.loads(content)
    except ValueError:  # of the JSON or of the UTF-8
        raise UserError(
            f"the tokenizer {path} is damaged: it is no JSON. Take it from a checkpoint of the run"
        ) from None
    return tokenizer_from_dict(values, str(path))


def _code_points(text: str) -> np.ndarray:
    """uint32 [len(text)]. `surrogatepass`: a lone surrogate from a broken terminal is an unseen character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
