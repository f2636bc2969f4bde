"""A tokenizer.json of Hugging Face's `tokenizers`, of any model. Its content is stored with the run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from jaxdec.config.tokenizers import HuggingFace
from jaxdec.data.files import decode, read_bytes
from jaxdec.data.tokenizers.base import END_OF_TEXT, BaseTokenizer, Cut, require_unicode
from jaxdec.errors import UserError

CONTEXT = 256  # characters on both sides of a cut that are encoded with and without it
TRIES = 64  # places where a cut is tried
_PLACE = re.compile(r"(?<=\S)\s")


class HuggingFaceTokenizer(BaseTokenizer):
    """`content`: the text of the file. `end_of_text`: the token that ends a text; None: <|endoftext|>, where the file
    has it. ValueError where `tokenizers` cannot read the file, or it has no such token.

    What a model wants around each text ([CLS], <s>) is not added, and the file's truncation and padding are turned off:
    a corpus is one long text. Whether text comes back unchanged is the file's affair; with byte-level BPE it does.
    """

    kind: ClassVar[str] = "huggingface"
    own_file: ClassVar[tuple[str, str]] = ("content", "huggingface.json")

    def __init__(self, content: str, end_of_text: str | None = None) -> None:
        from tokenizers import Tokenizer

        self.content, self._end = content, end_of_text
        try:
            self.tokenizer = Tokenizer.from_str(content)
            self.tokenizer.no_truncation()
            self.tokenizer.no_padding()
            self.tokenizer.encode_special_tokens = True  # as plain text
            vocabulary = self.tokenizer.get_vocab(with_added_tokens=True)
        except Exception as error:  # the library raises bare ones
            raise ValueError(_line(error)) from None
        if not vocabulary:
            raise ValueError("it has no tokens")
        self._vocab_size = max(vocabulary.values()) + 1
        self._end_of_text = vocabulary.get(end_of_text or END_OF_TEXT)
        if end_of_text is not None and self._end_of_text is None:
            raise ValueError(f"it has no token {end_of_text}")
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
    def from_settings(cls, settings: HuggingFace, texts: Iterable[str] | None) -> Self:
        return cls.from_file(settings.path)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        if not isinstance(values["content"], str):
            raise TypeError("content")
        return cls(values["content"], values.get("end_of_text"))

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
        if not self._is_plain(ids):
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

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """On all cores."""
        for text in texts:
            require_unicode(text)
        try:
            found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except Exception as error:
            raise _cannot_encode(error) from None
        ids = [np.array(each.ids, np.int32) for each in found]
        return [each if self._is_plain(each) else self.encode(text) for text, each in zip(texts, ids, strict=True)]

    def _is_plain(self, ids: np.ndarray) -> bool:
        return not np.isin(ids, list(self._special)).any()

    def last_cut(self, text: str) -> Cut | None:
        """A place before white space where the surroundings have the same ids with the cut and without it.

        What the file's parts do around a cut is not known, so it is tried. A file that puts a space before each text
        (as Llama's) takes a cut only where that space stands for one of the text, which is left out.
        """
        places = [match.start() for match in _PLACE.finditer(text, max(0, len(text) - 2**14), len(text) - CONTEXT)]
        for place in places[: -TRIES - 1 : -1]:
            before, after = text[max(0, place - CONTEXT) : place], text[place : place + CONTEXT]
            whole = self._ordinary(before + after)
            for left_out in (0, 1) if after[0] == " " else (0,):
                halves = [self._ordinary(before), self._ordinary(after[left_out:])]
                if np.array_equal(np.concatenate(halves), whole):
                    return place, place + left_out
        return None

    def _ordinary(self, text: str) -> np.ndarray:
        return self._encode(text, plain=True)

    def _encode(self, text: str, plain: bool) -> np.ndarray:
        if plain != self.tokenizer.encode_special_tokens:  # setting it while another thread encodes is an error
            self.tokenizer.encode_special_tokens = plain
        try:
            return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int32)
        except Exception as error:
            raise _cannot_encode(error) from None

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def _map(self) -> dict[str, Any]:
        return {"content": self.content, **({} if self._end is None else {"end_of_text": self._end})}


def _cannot_encode(error: Exception) -> UserError:
    return UserError(f"the tokenizer file cannot encode the text ({_line(error)}): use another one")


def _unknown(content: str) -> str | int | None:
    """The token that the model gives for what it does not know, by its name or (Unigram) its id."""
    model = json.loads(content).get("model", {})
    return model.get("unk_token", model.get("unk_id"))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
