"""Which parameters of a run are trained, as values; all others keep their bits.

Imports neither jax nor torch. What a value means for the names of a model's parameters is decided in
`jaxdec/training/learner.py`; the adapters of `LoRA` are `jaxdec/layers/lora.py` and `torchref/layers/lora.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar

from jaxdec.config.parts import Config, require
from jaxdec.config.setting import setting


@dataclass(frozen=True)
class Everything(Config):
    """All parameters are trained."""

    kind: ClassVar[str] = "everything"


@dataclass(frozen=True)
class Matching(Config):
    """The parameters whose names fit one of the patterns are trained, all others keep their values.

    A pattern is a parameter's whole name, in which `*` stands for any characters: `head.*`, `blocks.3.*`, `*.bias`.
    """

    kind: ClassVar[str] = "matching"
    patterns: tuple[str, ...] = field(metadata={"help": "names of parameters, as blocks.3.*,head.*"})

    def __post_init__(self) -> None:
        require(
            bool(self.patterns) and all(self.patterns),
            "trainable.patterns is empty: give names of parameters, as blocks.3.*,head.*",
        )


@dataclass(frozen=True)
class LastBlocks(Config):
    """The last blocks, the final norm and the head or classifier are trained; with no block the head or classifier
    alone. A head that is the token table (model.tied_head) belongs to the first layer too, and is not trained."""

    kind: ClassVar[str] = "last_blocks"
    blocks: int = setting(1, "blocks that are trained, the last ones; 0: the head or classifier alone")

    def __post_init__(self) -> None:
        require(self.blocks >= 0, f"trainable.blocks is {self.blocks}: give a whole number from 0")


@dataclass(frozen=True)
class LoRA(Config):
    """Low-rank adapters (Hu et al. 2021, section 4.1) are trained, and the classifier of a model that has one.

    A linear layer y = x W that is adapted becomes y = x W + (alpha / rank) dropout(x) A B, with A [in, rank] and B
    [rank, out]; W stays as it is. A target is the name of a linear layer or the end of one, in which `*` stands for any
    characters: `query`, `attention.*`, `blocks.3.*`. The default is every linear layer of the blocks (Dettmers et al.
    2023 found that adapting fewer falls behind full finetuning); Hu et al. adapted `query,value`.
    """

    kind: ClassVar[str] = "lora"
    rank: int = setting(8, "columns of A and rows of B")
    alpha: float = setting(16.0, "the adapter is multiplied by alpha / rank")
    dropout: float = setting(0.0, "share of an adapter's inputs that is dropped in training")
    targets: tuple[str, ...] = setting(("*",), "names of linear layers, or their ends, as query,value or blocks.3.*")

    def __post_init__(self) -> None:
        require(self.rank >= 1, f"trainable.rank is {self.rank}: give a whole number from 1")
        require(self.alpha > 0, f"trainable.alpha is {self.alpha}: give a positive number")
        require(0 <= self.dropout < 1, f"trainable.dropout is {self.dropout}: give a number in [0, 1)")
        require(
            bool(self.targets) and all(self.targets),
            "trainable.targets is empty: give names of linear layers, as query,value",
        )

    @property
    def scale(self) -> float:
        """What an adapter is multiplied by."""
        return self.alpha / self.rank

    def adapts(self, name: str) -> bool:
        """Whether a linear layer of this name, as blocks.0.attention.query, is a target."""
        return any(self.means(target, name) for target in self.targets)

    @staticmethod
    def means(target: str, name: str) -> bool:
        """Whether one target fits a name."""
        return fnmatchcase(name, target) or fnmatchcase(name, f"*.{target}")


Trainable = Everything | Matching | LastBlocks | LoRA
