"""SentencePiece's byte-pair encoding (Kudo and Richardson 2018), as Llama and llama2.c have it: pieces with scores.

A text starts as single characters with a space before it, bytes where a character is no piece; then the two
neighbours that together are the piece of highest score become one, the first of equals, until no two do.
"""

from __future__ import annotations

import functools
import heapq
import json
import math
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from jaxdec.config.tokenizers import SentencePiece
from jaxdec.data.files import read_bytes
from jaxdec.data.tokenizers.base import END_OF_TEXT, BaseTokenizer, Cut
from jaxdec.errors import UserError

UNKNOWN, BEGIN, END = 0, 1, 2  # the first pieces; then 256 bytes
FIRST_BYTE, FIRST_PIECE = 3, 259
FURTHEST_CUT = 4096  # characters from the end of a text
LONGEST_WORD = 64  # characters of a word whose ids are kept
NAMES = {UNKNOWN: "<unk>", BEGIN: END_OF_TEXT, END: "</s>"}
_WORDS = re.compile(r" *[^ ]+| +")
_SEAM = re.compile(r"(?<=[^ ]) (?=.)", re.DOTALL)


class SentencePieceTokenizer(BaseTokenizer):
    """`pieces`: text and score of each, by id, spaces as such: <unk>, <s>, </s>, the 256 bytes, then all others.

    `end_of_text` is <s>, which stands between the texts that llama2.c trains on. ValueError where the bytes are not
    where they should be. Any Unicode text comes back unchanged.
    """

    kind: ClassVar[str] = "sentencepiece"
    own_file: ClassVar[tuple[str, str]] = ("pieces", "sentencepiece.jsonl")

    def __init__(self, pieces: list[tuple[str, float]]) -> None:
        names = [text for text, _ in pieces[FIRST_BYTE:FIRST_PIECE]]
        if names != [f"<0x{byte:02X}>" for byte in range(256)]:
            raise ValueError("its pieces 3 to 258 are not the 256 bytes")
        if not all(math.isfinite(score) for _, score in pieces):
            raise ValueError("a score is no number")
        self.pieces = pieces
        self._found: dict[str, tuple[float, int]] = {}  # rank, lowest first, and id
        for number, (text, score) in enumerate(pieces[FIRST_PIECE:], FIRST_PIECE):
            self._found.setdefault(text, (-score, number))
        self._by_words = not any(re.search("[^ ] ", text) for text in self._found)  # no piece reaches into the next
        self._word = functools.lru_cache(2**16)(self._merged)

    @classmethod
    def from_file(cls, path: str) -> Self:
        """From a tokenizer.bin of llama2.c. UserError where it is missing or damaged."""
        place = Path(path).expanduser()
        content = read_bytes(place, "the tokenizer file")
        try:
            return cls(_parse(content))
        except (ValueError, struct.error) as error:
            why = "it ends in the middle of a piece" if isinstance(error, struct.error) else error
            raise UserError(f"{place} is no tokenizer.bin of llama2.c ({why}): give the path of one") from None

    @classmethod
    def from_settings(cls, settings: SentencePiece, texts: Iterable[str] | None) -> Self:
        return cls.from_file(settings.path)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        if not isinstance(values["pieces"], str):
            raise TypeError("pieces")
        try:
            pairs = [json.loads(line) for line in values["pieces"].split("\n")[:-1]]
        except RecursionError:
            raise ValueError("pieces") from None
        if not all(isinstance(text, str) and isinstance(score, float) for text, score in pairs):
            raise TypeError("pieces")
        return cls([(text, score) for text, score in pairs])

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)

    @property
    def end_of_text(self) -> int:
        return BEGIN

    def last_cut(self, text: str) -> Cut | None:
        """Before a word, whose space is left out: each text gets one."""
        seams = [seam.span() for seam in _SEAM.finditer(text, max(0, len(text) - FURTHEST_CUT))]
        return seams[-1] if seams and self._by_words else None

    def to_bin(self) -> bytes:
        """The tokenizer.bin that llama2.c reads."""
        texts = [text.encode() for text, _ in self.pieces]
        parts = [struct.pack("<I", max(map(len, texts)))]
        for text, (_, score) in zip(texts, self.pieces, strict=True):
            parts += [struct.pack("<fI", score, len(text)), text]
        return b"".join(parts)

    def _map(self) -> dict[str, Any]:
        return {"pieces": "".join(json.dumps([text, score]) + "\n" for text, score in self.pieces)}

    def _ordinary(self, text: str) -> np.ndarray:
        if not text:
            return np.zeros(0, np.int32)
        text = " " + text
        words = _WORDS.findall(text) if self._by_words else [text]
        return np.array([number for word in words for number in self._of_word(word)], np.int32)

    def _of_word(self, word: str) -> tuple[int, ...]:
        return self._word(word) if len(word) <= LONGEST_WORD else self._merged(word)

    def _merged(self, text: str) -> tuple[int, ...]:
        """The ids of a stretch of text, by a heap of the pairs that may become one."""
        symbols: list[str | None] = list(text)
        after = list(range(1, len(text) + 1))
        before = list(range(-1, len(text) - 1))
        heap: list[tuple[float, int, str]] = []

        def consider(left: int) -> None:
            right = after[left] if left >= 0 else len(symbols)
            if right < len(symbols):
                both = f"{symbols[left]}{symbols[right]}"
                if both in self._found and symbols[left] in self._found and symbols[right] in self._found:
                    heapq.heappush(heap, (self._found[both][0], left, both))

        for place in range(len(symbols) - 1):
            consider(place)
        while heap:
            _, left, both = heapq.heappop(heap)
            right = after[left]
            if symbols[left] is None or right >= len(symbols) or f"{symbols[left]}{symbols[right]}" != both:
                continue  # one of the two has become part of another
            symbols[left], symbols[right] = both, None
            after[left] = after[right]
            if after[left] < len(symbols):
                before[after[left]] = left
            consider(before[left])
            consider(left)
        return tuple(number for symbol in symbols if symbol is not None for number in self._ids(symbol))

    def _ids(self, symbol: str) -> list[int]:
        if symbol in self._found:
            return [self._found[symbol][1]]
        return [FIRST_BYTE + byte for byte in symbol.encode()]

    def _decode(self, ids: list[int]) -> str:
        """The space that every text gets is taken off again, at the start and after <s>."""
        parts: list[bytes] = []
        first = True
        for number in ids:
            if FIRST_BYTE <= number < FIRST_PIECE:
                piece = bytes([number - FIRST_BYTE])
            else:
                piece = (NAMES.get(number) or self.pieces[number][0]).encode()
            parts.append(piece.removeprefix(b" ") if first else piece)
            first = number == BEGIN
        return b"".join(parts).decode("utf-8", errors="replace")


def _parse(content: bytes) -> list[tuple[str, float]]:
    """Pieces and scores of a tokenizer.bin. ValueError or struct.error where it is damaged."""
    (longest,) = struct.unpack_from("<I", content)
    pieces, place = [], 4
    while place < len(content):
        score, length = struct.unpack_from("<fI", content, place)
        place += 8
        if length > longest:
            raise ValueError(f"piece {len(pieces)} has {length} bytes, and {longest} are the most")
        if place + length > len(content):
            raise ValueError("it ends in the middle of a piece")
        pieces.append((content[place : place + length].decode("utf-8"), score))
        place += length
    return pieces
