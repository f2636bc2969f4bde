"""The interface of every tokenizer, and what all kinds share: checks, the hash, the files in a run."""

from __future__ import annotations

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from jaxdec.data.files import new_folder, sha256
from jaxdec.errors import UserError

FILE = "tokenizer.json"
END_OF_TEXT = "<|endoftext|>"
Cut = tuple[int, int]


@runtime_checkable
class Tokenizer(Protocol):
    """Ids are int32 from 0 to vocab_size - 1. `hash` is a sha256 (hex) of map and settings: equal hashes, equal ids.

    `encode` never makes a special token of plain text, unless `allow_special` says that the text may hold them: without
    it the characters "<|endoftext|>" are characters like all others. `encode_all` encodes many texts, each for itself,
    and may be called in many threads at once. `last_cut` is the last place where a text may be cut whatever follows it:
    (end, start) such that text[:end] and text[start:] with what follows, encoded one by one, give the ids of the whole;
    None where there is none. `end_of_text` is the id of <|endoftext|>, None where the kind has none. `decode` takes any
    ids; bytes that are no UTF-8 become U+FFFD. `to_dict` is complete, for JSON.
    """

    kind: ClassVar[str]

    @property
    def vocab_size(self) -> int: ...
    @property
    def hash(self) -> str: ...
    @property
    def end_of_text(self) -> int | None: ...
    def encode(self, text: str, allow_special: bool = False) -> np.ndarray: ...
    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]: ...
    def last_cut(self, text: str) -> Cut | None: ...
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


def require_unicode(text: str) -> None:
    """UserError for half of a surrogate pair, which a broken terminal or file name leaves and no encoding knows."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"the text is not Unicode: {text[error.start]!r} ({place_of(text, error.start)}) is half of a surrogate "
            f"pair. Remove or replace it"
        ) from None


class BaseTokenizer(ABC):
    """A kind gives `vocab_size`, `_ordinary`, `_decode`, `_map`, `from_settings` and `from_dict`; the rest is here.

    `own_file` names a key of the map whose text lies in a file of its own beside tokenizer.json, in a format that other
    programs read: (key, file name).
    """

    kind: ClassVar[str]
    own_file: ClassVar[tuple[str, str] | None] = None

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Any, texts: Iterable[str] | None) -> Self | None:
        """What a value of `data.tokenizer` asks for, with the vocabulary of `texts` where the kind has none of its own;
        None where it needs texts and there are none. Raises UserError where a file that it needs is not available."""

    @classmethod
    @abstractmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError where the map is damaged."""

    @property
    @abstractmethod
    def vocab_size(self) -> int: ...

    @property
    def end_of_text(self) -> int | None:
        return None

    @property
    def hash(self) -> str:
        return self._hash

    @functools.cached_property
    def _hash(self) -> str:
        return sha256(json.dumps({"kind": self.kind, **self._map()}, sort_keys=True).encode())

    def encode(self, text: str, allow_special: bool = False) -> np.ndarray:
        """int32 [tokens]. UserError for half of a surrogate pair, and where the kind says so."""
        require_unicode(text)
        if not allow_special or self.end_of_text is None:
            return self._ordinary(text)
        first, *others = text.split(END_OF_TEXT)
        end = np.array([self.end_of_text], np.int32)
        parts = [self._ordinary(first)]
        for part in others:
            parts += [end, self._ordinary(part)]
        return np.concatenate(parts)

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """`encode` of each text."""
        return [self.encode(text) for text in texts]

    @abstractmethod
    def last_cut(self, text: str) -> Cut | None:
        """(end, start) as `Tokenizer` says."""

    def decode(self, ids: Any) -> str:
        """The text of any sequence of ids. UserError for an id outside the vocabulary."""
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        if array.size and not (array.min() >= 0 and array.max() < self.vocab_size):
            wrong = array[(array < 0) | (array >= self.vocab_size)][0]
            raise UserError(
                f"the token id {wrong} is outside the vocabulary of {self.vocab_size}: use this model's tokenizer"
            )
        return self._decode(array.tolist())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with the hash that `tokenizer_from_dict` checks."""
        return {"kind": self.kind, **self._map(), "hash": self.hash}

    def save(self, folder: Path) -> None:
        """Makes `folder` with tokenizer.json in it; a folder that is there already must hold the same tokenizer."""
        values = self.to_dict()
        files = {}
        if self.own_file is not None:
            key, name = self.own_file
            files[name] = values.pop(key).encode()
        files[FILE] = (json.dumps(values, indent=1) + "\n").encode()
        if folder.exists():
            if any(_content(folder / name) != content for name, content in files.items()):
                raise UserError(f"{folder} holds another tokenizer: choose another folder, or delete this one")
            return
        with new_folder(folder, "the tokenizer's folder") as temporary:
            for name, content in files.items():
                (temporary / name).write_bytes(content)

    @abstractmethod
    def _map(self) -> dict[str, Any]:
        """All that determines the ids."""

    @abstractmethod
    def _ordinary(self, text: str) -> np.ndarray:
        """The ids, int32, of text without special tokens."""

    @abstractmethod
    def _decode(self, ids: list[int]) -> str:
        """The text of ids that are in the vocabulary."""


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
