"""Whether the documents that share a training example may read one another.

Imports neither jax nor torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxdec.config.parts import Config, require
from jaxdec.config.setting import setting


@dataclass(frozen=True)
class Joined(Config):
    """All tokens are one text: a query may read what stands before the beginning of its document (GPT-2)."""

    kind: ClassVar[str] = "joined"


@dataclass(frozen=True)
class Separate(Config):
    """Each document is read as if it were alone: queries read no key of another one, positions begin at 0 in each.

    A document begins with the token `start`, which belongs to it, and ends before the next one. Tokens before the first
    start belong to a document whose beginning was cut off; the first of them has position 0.
    """

    kind: ClassVar[str] = "separate"
    start: int | None = setting(None, "id of the token that begins a document; None: the tokenizer's <|endoftext|>")

    def __post_init__(self) -> None:
        require(
            self.start is None or self.start >= 0,
            f"model.documents.start is {self.start}: give a token id, from 0, or None for the tokenizer's",
        )


Documents = Joined | Separate
