"""Vocabularies for the tests of tokenizers, made by the outside libraries themselves."""

from __future__ import annotations

import re
import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path

import tiktoken
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from jaxdec.data.tokenizers import gpt2 as tokenizer_gpt2
from jaxdec.data.tokenizers.pieces import PATTERN
from jaxdec.data.tokenizers.registry import END_OF_TEXT


def has_gpt2() -> bool:
    """Whether both of tiktoken's files of GPT-2 are here, so that no test needs a network."""
    names = ("6c7ea1a7e38e3a7f062df639a5b80947f075ffe6", "6d1cbeee0f20b3d9449abfede4726ed8212e3aee")
    return all((Path(tokenizer_gpt2.cache_folder()) / name).exists() for name in names)


def eager(letters: str) -> tiktoken.Encoding:
    """Any two of the letters that GPT-2's pattern leaves together are merged, so that tokens show where it cuts."""
    single = [letter.encode() for letter in letters if len(letter.encode()) > 1]
    pairs = [(one + other).encode() for one in letters for other in letters]
    steps = [pair[:size] for pair in [*single, *pairs] for size in range(2, len(pair) + 1)]
    tokens = dict.fromkeys([*(bytes([byte]) for byte in range(256)), *single, *pairs, *steps])
    ranks = {token: rank for rank, token in enumerate(tokens)}
    return tiktoken.Encoding("eager", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


def byte_level(text: str, vocab_size: int, special: tuple[str, ...] = ()) -> Tokenizer:
    """Byte-level BPE of `tokenizers`, trained on the text as a whole."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer=trainer)
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def byte_level_file(text: str, vocab_size: int) -> str:
    """A tokenizer.json with <|endoftext|>, as of a GPT-2."""
    return byte_level(text, vocab_size - 1, (END_OF_TEXT,)).to_str()


def scored_pieces(text: str, merges: int) -> list[tuple[str, float]]:
    """Pieces and scores as SentencePiece trains them with byte fallback: the most frequent pair of neighbours in words
    becomes a piece, again and again; the earlier, the higher its score."""
    words = [list(word) for word in re.findall(" *[^ ]+| +", " " + text)]
    found: list[str] = []
    for _ in range(merges):
        pairs = Counter(pair for word in words for pair in pairwise(word))
        if not pairs:
            break
        best = max(sorted(pairs), key=pairs.__getitem__)
        found.append("".join(best))
        for word in words:
            for place in range(len(word) - 2, -1, -1):
                if tuple(word[place : place + 2]) == best:
                    word[place : place + 2] = ["".join(best)]
    letters = sorted(set(text) | {" "})
    pieces = [*dict.fromkeys(found), *(letter for letter in letters if letter not in found)]
    special = [("<unk>", 0.0), ("\n<s>\n", 0.0), ("\n</s>\n", 0.0)]
    return [
        *special,
        *((f"<0x{byte:02X}>", 0.0) for byte in range(256)),
        *((p, -float(i)) for i, p in enumerate(pieces)),
    ]


def scored_file(text: str, merges: int) -> bytes:
    """A tokenizer.bin of llama2.c."""
    pieces = [(piece.encode(), score) for piece, score in scored_pieces(text, merges)]
    longest = struct.pack("<I", max(len(piece) for piece, _ in pieces))
    return longest + b"".join(struct.pack("<fI", score, len(piece)) + piece for piece, score in pieces)
