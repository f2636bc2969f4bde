"""Text to token ids and back: the kinds of tokenizers, how each is made, and how it is read from a run.

A tokenizer is known by its `kind` and fixed by its map, whose hash goes with it. A new kind is a class with the methods
of `Tokenizer` in a file of this folder, a line in `KINDS`, and its settings in `config/tokenizers.py`. See
docs/tokenizers.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxdec.config.tokenizers import AnyTokenizer
from jaxdec.data.files import decode, read_bytes
from jaxdec.data.tokenizers.base import END_OF_TEXT, FILE, Tokenizer, UnseenCharacter, place_of
from jaxdec.data.tokenizers.bpe import BPETokenizer
from jaxdec.data.tokenizers.char import CharTokenizer
from jaxdec.data.tokenizers.gpt2 import GPT2Tokenizer
from jaxdec.data.tokenizers.huggingface import HuggingFaceTokenizer
from jaxdec.data.tokenizers.sentencepiece import SentencePieceTokenizer
from jaxdec.data.tokenizers.words import WordTokenizer
from jaxdec.errors import UserError, nearest

__all__ = [
    "END_OF_TEXT", "FILE", "KINDS", "BPETokenizer", "CharTokenizer", "GPT2Tokenizer", "HuggingFaceTokenizer",
    "SentencePieceTokenizer", "Tokenizer", "UnseenCharacter", "WordTokenizer", "fixed_tokenizer", "load_tokenizer",
    "place_of", "tokenizer_from_dict", "train_tokenizer",
]  # fmt: skip

KINDS: dict[str, Any] = {
    made.kind: made
    for made in (
        CharTokenizer,
        WordTokenizer,
        GPT2Tokenizer,
        BPETokenizer,
        HuggingFaceTokenizer,
        SentencePieceTokenizer,
    )
}


def train_tokenizer(settings: AnyTokenizer, texts: str | Iterable[str]) -> Tokenizer:
    """The tokenizer that a run asks for, with the vocabulary of `texts` (the training split) where its kind has none.
    A text that comes in parts is cut between words.

    Raises UserError where a file that it needs is missing, damaged or out of reach, and for text that is not Unicode.
    """
    return _class_of(settings).from_settings(settings, [texts] if isinstance(texts, str) else texts)


def fixed_tokenizer(settings: AnyTokenizer) -> Tokenizer | None:
    """The tokenizer that needs no text; None where `settings` ask for training."""
    return _class_of(settings).from_settings(settings, None)


def _class_of(settings: AnyTokenizer) -> Any:
    if settings.kind not in KINDS:
        raise UserError(f"there is no tokenizer of kind {settings.kind!r}{nearest(settings.kind, KINDS)}")
    return KINDS[settings.kind]


def tokenizer_from_dict(values: dict[str, Any], place: str = "the checkpoint") -> Tokenizer:
    """The inverse of `to_dict`. UserError, with `place` in it, where the map is damaged or does not fit its hash."""
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"the tokenizer in {place} is of the unknown kind {kind!r}{nearest(str(kind), KINDS)}")
    try:
        tokenizer = KINDS[kind].from_dict(values)
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"the tokenizer in {place} is damaged: its map is missing or broken. Take it from another checkpoint"
        ) from None
    if tokenizer.to_dict() != values:  # with the hash, which covers the rest
        raise UserError(
            f"the tokenizer in {place} does not fit its hash: it was changed. Take it from another checkpoint"
        )
    return tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """Reads what `save` wrote and checks its hash."""
    path = folder / FILE
    content = read_bytes(path, "the tokenizer")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):  # of the JSON or of the UTF-8
        raise UserError(
            f"the tokenizer {path} is damaged: it is no JSON. Take it from a checkpoint of the run"
        ) from None
    kind = KINDS.get(values["kind"]) if isinstance(values, dict) and isinstance(values.get("kind"), str) else None
    if kind is not None and kind.own_file is not None:
        key, name = kind.own_file
        values[key] = decode(read_bytes(folder / name, "the tokenizer's file"), folder / name, "the tokenizer's file")
    return tokenizer_from_dict(values, str(folder if kind is not None and kind.own_file else path))
