"""Configs of tokenizers: how text is cut into tokens. Imports neither jax nor torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from jaxdec.config.parts import Config, require
from jaxdec.config.setting import setting


@dataclass(frozen=True)
class Characters(Config):
    """One token per character of the training text."""

    kind: ClassVar[str] = "char"


@dataclass(frozen=True)
class Words(Config):
    """Words and punctuation of the training text, with <|unk|> for all others: the one to learn from, it loses text."""

    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class GPT2(Config):
    """The byte-pair encoding of GPT-2, 50,257 tokens (Radford et al. 2019, section 2.2), through tiktoken."""

    kind: ClassVar[str] = "gpt2"


@dataclass(frozen=True)
class BPE(Config):
    """Byte-pair encoding (Sennrich et al. 2016) of bytes, trained on the training text."""

    kind: ClassVar[str] = "bpe"
    vocab_size: int = setting(10_000, "tokens, the 256 bytes and <|endoftext|> among them")

    def __post_init__(self) -> None:
        require(
            self.vocab_size >= 257,
            f"data.tokenizer.vocab_size is {self.vocab_size}: give at least 257, for the bytes and <|endoftext|>",
        )


@dataclass(frozen=True)
class HuggingFace(Config):
    """A tokenizer.json of Hugging Face's `tokenizers`."""

    kind: ClassVar[str] = "huggingface"
    path: str = field(metadata={"help": "path of the tokenizer.json"})


@dataclass(frozen=True)
class SentencePiece(Config):
    """The byte-pair encoding of SentencePiece, from a tokenizer.bin of llama2.c."""

    kind: ClassVar[str] = "sentencepiece"
    path: str = field(metadata={"help": "path of the tokenizer.bin"})


AnyTokenizer = Characters | Words | GPT2 | BPE | HuggingFace | SentencePiece
