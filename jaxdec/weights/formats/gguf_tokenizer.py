"""Tokenizers in the metadata of GGUF: SentencePiece's pieces with scores ("llama"), and GPT-2's byte pairs ("gpt2")."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxdec.data.tokenizers.base import END_OF_TEXT, Tokenizer
from jaxdec.data.tokenizers.bpe import BPETokenizer
from jaxdec.data.tokenizers.gpt2 import GPT2Tokenizer
from jaxdec.data.tokenizers.sentencepiece import BEGIN, END, FIRST_BYTE, FIRST_PIECE, UNKNOWN, SentencePieceTokenizer
from jaxdec.errors import UserError
from jaxdec.weights.folder.tokenizer_json import ours_of, tokenizer_json
from jaxdec.weights.formats.gguf_file import Metadata

AT = "tokenizer.ggml."
SPACE = "\u2581"  # what stands for a space in pieces
NORMAL, OF_UNKNOWN, CONTROL, UNUSED, OF_BYTE = 1, 2, 3, 5, 6  # kinds of tokens


def tokenizer_of(metadata: Metadata, vocab_size: int, file: Path) -> Tokenizer | None:
    """The tokenizer in the metadata of a model with that many tokens; None where there is none. UserError for one that
    is not supported, damaged or larger."""
    kind = metadata.get(f"{AT}model")
    if kind in (None, "none", "no_vocab"):
        return None
    pre = metadata.get(f"{AT}pre", "default")
    try:
        made: Tokenizer | None = None
        if kind == "llama" and metadata.get(f"{AT}add_space_prefix", True):
            made = _scored(metadata)
        if kind == "gpt2" and pre in ("gpt-2", "gpt2", "default"):
            made = _byte_pairs(metadata)
        if made is not None and made.vocab_size > vocab_size:
            raise ValueError(f"it has {made.vocab_size} tokens, and the model {vocab_size}")
        if made is not None:
            return made
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{file}: its tokenizer is damaged ({error}): put its tokenizer.json beside it") from None
    raise UserError(f"{file}: a tokenizer {kind} ({pre}) is not read from GGUF: put its tokenizer.json beside it")


def tokenizer_metadata(tokenizer: Tokenizer | None, vocab_size: int) -> Metadata:
    """What GGUF says of a tokenizer, filled up to the model's vocabulary; empty for a kind that it does not have."""
    match tokenizer:
        case SentencePieceTokenizer():
            special = {UNKNOWN: ("<unk>", OF_UNKNOWN), BEGIN: ("<s>", CONTROL), END: ("</s>", CONTROL)}
            tokens = [
                special.get(number) or (text.replace(" ", SPACE), _kind_of_piece(number))
                for number, (text, _) in enumerate(tokenizer.pieces)
            ]
            found: dict[str, Any] = {f"{AT}model": "llama", f"{AT}pre": "default"}
            scores = [float(score) for _, score in tokenizer.pieces]
            found |= {f"{AT}scores": scores + [0.0] * (vocab_size - len(scores))}
            ends = {"bos": BEGIN, "eos": END, "unknown": UNKNOWN}
        case GPT2Tokenizer() | BPETokenizer():
            model = json.loads(tokenizer_json(tokenizer))["model"]
            names = sorted(model["vocab"], key=model["vocab"].__getitem__)
            tokens = [(name, NORMAL) for name in names if name != END_OF_TEXT] + [(END_OF_TEXT, CONTROL)]
            merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
            found = {f"{AT}model": "gpt2", f"{AT}pre": "gpt-2", f"{AT}merges": merges}
            ends = {"bos": tokenizer.end_of_text, "eos": tokenizer.end_of_text}
        case _:
            return {}
    tokens += [(f"[PAD{number}]", UNUSED) for number in range(len(tokens), vocab_size)]
    found |= {f"{AT}tokens": [text for text, _ in tokens], f"{AT}token_type": [kind for _, kind in tokens]}
    return found | {f"{AT}{name}_token_id": number for name, number in ends.items()}


def _kind_of_piece(number: int) -> int:
    return OF_BYTE if FIRST_BYTE <= number < FIRST_PIECE else NORMAL


def _kept(metadata: Metadata) -> list[str]:
    """The tokens without those at the end that fill up the vocabulary."""
    tokens = list(metadata[f"{AT}tokens"])
    kinds = metadata.get(f"{AT}token_type") or [NORMAL] * len(tokens)
    while tokens and kinds[len(tokens) - 1] == UNUSED:
        tokens.pop()
    return tokens


def _scored(metadata: Metadata) -> SentencePieceTokenizer:
    tokens = _kept(metadata)
    scores = metadata[f"{AT}scores"][: len(tokens)]
    texts = ["<unk>", "\n<s>\n", "\n</s>\n", *(token.replace(SPACE, " ") for token in tokens[3:])]  # as llama2.c has it
    return SentencePieceTokenizer([(text, float(score)) for text, score in zip(texts, scores, strict=True)])


def _byte_pairs(metadata: Metadata) -> Tokenizer:
    """By way of the tokenizer.json that says the same."""
    tokens = _kept(metadata)
    merges = [tuple(pair.split(" ")) for pair in metadata[f"{AT}merges"]]
    made = None
    if tokens and tokens[-1] == END_OF_TEXT:
        values = json.loads(tokenizer_json(BPETokenizer.train("", 257)))
        values["model"] |= {"vocab": {token: n for n, token in enumerate(tokens)}, "merges": merges}
        values["added_tokens"] = [{**values["added_tokens"][0], "id": len(tokens) - 1}]
        made = ours_of(json.dumps(values))
    if made is None:
        raise ValueError("it is not GPT-2's kind of byte pairs")
    return made
