"""Byte-level BPE through tiktoken: what GPT-2's own tokenizer and a trained one share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxdec.data.tokenizers.base import BaseTokenizer, Cut
from jaxdec.data.tokenizers.pieces import BYTE_SEAMS, PIECE, last_seam, may_have_long_run, pieces

if TYPE_CHECKING:
    from tiktoken import Encoding


class ByteTokenizer(BaseTokenizer):
    """Any Unicode text can be encoded and comes back unchanged. The last id is <|endoftext|>."""

    encoding: Encoding

    @property
    def vocab_size(self) -> int:
        return self.encoding.n_vocab

    @property
    def end_of_text(self) -> int:
        return self.encoding.n_vocab - 1

    def _ordinary(self, text: str) -> np.ndarray:
        if len(text) <= PIECE and not may_have_long_run(text):
            return self.encoding.encode_to_numpy(text, disallowed_special=()).astype(np.int32)
        found = [self.encoding.encode_to_numpy(piece, disallowed_special=()) for piece in pieces(text)]
        return np.concatenate(found).view(np.int32)

    def last_cut(self, text: str) -> Cut | None:
        place = last_seam(text, BYTE_SEAMS)
        return None if place is None else (place, place)

    def _decode(self, ids: list[int]) -> str:
        """Bytes that are no UTF-8, as of a character that is cut, become U+FFFD."""
        return self.encoding.decode_bytes(ids).decode("utf-8", errors="replace")
