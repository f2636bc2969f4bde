"""Vocabularies for the tests of tokenizers, made by the outside libraries themselves."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from jaxdec.data.tokenizers import gpt2 as tokenizer_gpt2
from jaxdec.data.tokenizers.registry import END_OF_TEXT


def has_gpt2() -> bool:
    """Whether both of tiktoken's files of GPT-2 are here, so that no test needs a network."""
    names = ("6c7ea1a7e38e3a7f062df639a5b80947f075ffe6", "6d1cbeee0f20b3d9449abfede4726ed8212e3aee")
    return all((Path(tokenizer_gpt2.cache_folder()) / name).exists() for name in names)


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
