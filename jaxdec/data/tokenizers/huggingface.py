"""A tokenizer.json of Hugging Face's `tokenizers`, of any model. Its content is stored with the run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from jaxdec.config.run import HuggingFace
from jaxdec.data.files import decode, read_bytes
from jaxdec.data.tokenizers.base import END_OF_TEXT, BaseTokenizer, require_unicode
from jaxdec.errors import UserError


class HuggingFaceTokenizer(BaseTokenizer):
    """`content`: the text of the file. ValueError where `tokenizers` cannot read it.

    What a model wants around each text ([CLS], <s>) is not added, and the file's truncation and padding are turned off:
    a corpus is one long text. Whether text comes back unchanged is the file's affair; with byte-level BPE it does.
    """

    kind: ClassVar[str] = "huggingface"
    own_file: ClassVar[tuple[str, str]] = ("content", "huggingface.json")

    def __init__(self, content: str) -> None:
        from tokenizers import Tokenizer

        self.content = content
        try:
            self.tokenizer = Tokenizer.from_str(content)
            self.tokenizer.no_truncation()
            self.tokenizer.no_padding()
            vocabulary = self.tokenizer.get_vocab(with_added_tokens=True)
        except Exception as error:  # the library raises bare ones
            raise ValueError(_line(error)) from None
        if not vocabulary:
            raise ValueError("it has no tokens")
        self._vocab_size = max(vocabulary.values()) + 1
        self._end_of_text = vocabulary.get(END_OF_TEXT)
        added = self.tokenizer.get_added_tokens_decoder()
        unknown = _unknown(content)
        special = {number: token.content for number, token in added.items() if token.special}
        # The token for what is unknown comes from plain text by design.
        self._special = {number: token for number, token in special.items() if unknown not in (number, token)}

    @classmethod
    def from_file(cls, path: str) -> Self:
        """UserError where the file is missing or `tokenizers` cannot read it."""
        place = Path(path).expanduser()
        content = decode(read_bytes(place, "the tokenizer file"), place, "the tokenizer file")
        try:
            return cls(content)
        except ValueError as error:
            raise UserError(
                f"{place} cannot be read by Hugging Face's tokenizers ({error}): give the path of a tokenizer.json"
            ) from None

    @classmethod
    def from_settings(cls, settings: HuggingFace, text: str | None) -> Self:
        return cls.from_file(settings.path)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        if not isinstance(values["content"], str):
            raise TypeError("content")
        return cls(values["content"])

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def end_of_text(self) -> int | None:
        return self._end_of_text

    def encode(self, text: str, allow_special: bool = False) -> np.ndarray:
        """int32 [tokens]. UserError for half of a surrogate pair and for what the file's model cannot encode."""
        require_unicode(text)
        if allow_special:
            return self._encode(text, plain=False)
        ids = self._ordinary(text)
        if np.isin(ids, list(self._special)).any():
            # The model's own vocabulary has them as words: cut each in two, as no word.
            names = sorted((re.escape(token) for token in self._special.values() if len(token) > 1), key=len)
            inside = [match.start() + 1 for match in re.finditer("|".join(names[::-1]) or "(?!)", text)]
            parts = [text[start:end] for start, end in zip([0, *inside], [*inside, len(text)], strict=True)]
            ids = np.concatenate([self._ordinary(part) for part in parts])
        if (found := np.isin(ids, list(self._special))).any():
            token = self._special[int(ids[np.argmax(found)])]
            raise UserError(
                f"the tokenizer file makes its special token {token} of plain text: remove what reads so from the text"
            )
        return ids

    def _ordinary(self, text: str) -> np.ndarray:
        return self._encode(text, plain=True)

    def _encode(self, text: str, plain: bool) -> np.ndarray:
        self.tokenizer.encode_special_tokens = plain
        try:
            return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int32)
        except Exception as error:
            raise UserError(f"the tokenizer file cannot encode the text ({_line(error)}): use another one") from None

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def _map(self) -> dict[str, Any]:
        return {"content": self.content}


def _unknown(content: str) -> str | int | None:
    """The token that the model gives for what it does not know, by its name or (Unigram) its id."""
    model = json.loads(content).get("model", {})
    return model.get("unk_token", model.get("unk_id"))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
