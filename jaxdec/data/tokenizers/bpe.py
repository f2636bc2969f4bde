"""Byte-pair encoding trained on the user's text (Sennrich et al. 2016; over bytes, Radford et al. 2019).

Hugging Face's `tokenizers` finds the merges, `tiktoken` applies them. A token's id is its rank: the 256 bytes in
GPT-2's order, then each merge as it was found, then <|endoftext|>. So ids are those of both libraries.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Self

from jaxdec.config.tokenizers import BPE
from jaxdec.data.tokenizers.base import END_OF_TEXT, require_unicode
from jaxdec.data.tokenizers.bytes import ByteTokenizer
from jaxdec.data.tokenizers.pieces import PATTERN, training_pieces


class BPETokenizer(ByteTokenizer):
    """`ranks`: the tokens as bytes, by id, without <|endoftext|>.

    ValueError where a single byte is missing, and for a token that is there twice or empty.
    """

    kind: ClassVar[str] = "bpe"
    own_file: ClassVar[tuple[str, str]] = ("ranks", "bpe.tiktoken")

    def __init__(self, ranks: list[bytes]) -> None:
        import tiktoken

        by_token = {token: rank for rank, token in enumerate(ranks)}
        if len(by_token) != len(ranks) or any(bytes([byte]) not in by_token for byte in range(256)) or b"" in by_token:
            raise ValueError("ranks")
        self.ranks = ranks
        self.encoding = tiktoken.Encoding(
            "bpe", pat_str=PATTERN, mergeable_ranks=by_token, special_tokens={END_OF_TEXT: len(ranks)}
        )

    @classmethod
    def train(cls, texts: str | Iterable[str], vocab_size: int) -> Self:
        """At most `vocab_size` tokens: a short text has fewer pairs to merge. Equal texts give equal tokens."""
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        def words() -> Iterator[str]:
            for text in [texts] if isinstance(texts, str) else texts:
                require_unicode(text)
                yield from training_pieces(text)

        learner = Tokenizer(models.BPE())
        learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # GPT-2's pattern
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - 1,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        learner.train_from_iterator(words(), trainer=trainer)
        letters = byte_of_letter()
        vocabulary = sorted(learner.get_vocab().items(), key=lambda item: item[1])
        return cls([bytes(letters[letter] for letter in token) for token, _ in vocabulary])

    @classmethod
    def from_settings(cls, settings: BPE, texts: Iterable[str] | None) -> Self | None:
        return None if texts is None else cls.train(texts, settings.vocab_size)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        if values["pattern"] != PATTERN or not isinstance(values["ranks"], str):
            raise ValueError("pattern or ranks")
        return cls(_parse(values["ranks"]))

    def _map(self) -> dict[str, Any]:
        lines = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(self.ranks))
        return {"pattern": PATTERN, "special_tokens": {END_OF_TEXT: len(self.ranks)}, "ranks": lines}


def _parse(lines: str) -> list[bytes]:
    """tiktoken's format, `base64 rank` a line; the ranks are 0, 1, ..., in order, as `to_dict` writes them."""
    pairs = [line.split() for line in lines.splitlines()]
    return [base64.b64decode(token, validate=True) for token, _ in pairs]


def byte_of_letter() -> dict[str, int]:
    """The letters that stand for bytes in `tokenizers`: printable Latin-1 for itself, the others from U+0100 on."""
    printable = {byte for byte in range(256) if chr(byte).isprintable() and byte != 0x20}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
