"""Instruction finetuning as a value: the form of prompts, what counts, and how entries become batches.

Imports neither jax nor torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from jaxdec.config.decoder import DecoderConfig
from jaxdec.config.parts import Config, require
from jaxdec.config.setting import setting
from jaxdec.config.splits import require_split

# Templates: how an instruction, its input and the response become one text


@dataclass(frozen=True)
class Alpaca(Config):
    """A preamble, then the headings ### Instruction, ### Input and ### Response (Taori et al. 2023)."""

    kind: ClassVar[str] = "alpaca"


@dataclass(frozen=True)
class Phi3(Config):
    """The marks <|user|>, <|assistant|> and <|end|> of Phi-3 (Abdin et al. 2024)."""

    kind: ClassVar[str] = "phi3"


@dataclass(frozen=True)
class ChatML(Config):
    """The marks <|im_start|> and <|im_end|> around each message, with its role."""

    kind: ClassVar[str] = "chatml"


@dataclass(frozen=True)
class Own(Config):
    """A text file with {instruction} and {response}, and {input} if entries have one; a line whose {input} is empty is
    left out."""

    kind: ClassVar[str] = "own"
    path: str = field(metadata={"help": "path of the file with the template"})


Template = Alpaca | Phi3 | ChatML | Own

# Batching


@dataclass(frozen=True)
class Buckets(Config):
    """An entry per row. Entries of like length share batches, which are as long as their longest entry needs."""

    kind: ClassVar[str] = "buckets"
    multiple: int = setting(64, "batches are padded to a multiple of so many tokens; each length is compiled once")

    def __post_init__(self) -> None:
        require(self.multiple >= 1, f"stage.batching.multiple is {self.multiple}: give a whole number from 1")


@dataclass(frozen=True)
class Packed(Config):
    """Several entries per row, which do not read one another: needs model.documents separate."""

    kind: ClassVar[str] = "packed"


Batching = Buckets | Packed


@dataclass(frozen=True)
class Instruct(Config):
    """Answer instructions: predict the response, and the end token behind it, from the prompt."""

    kind: ClassVar[str] = "instruct"
    models: ClassVar[tuple[type, ...]] = (DecoderConfig,)
    loss_unit: ClassVar[str] = "nats per token"
    template: Template = setting(Alpaca(), "how an entry becomes a text")
    prompt_loss: Literal["masked", "counted"] = setting(
        "masked", "masked: targets of the response and its end count alone; counted: those of the prompt too"
    )
    batching: Batching = setting(Buckets(), "how entries become rows of tokens")
    too_long: Literal["leave_out", "cut"] = setting(
        "leave_out", "what happens to an entry longer than the window; cut: its end is lost"
    )
    test_fraction: float = setting(0.1, "share of the entries that is answered and scored at the end")
    split_seed: int | None = setting(
        0, "seed of the split into training, validation and test; None: by the order of the file"
    )

    def __post_init__(self) -> None:
        require_split(self.test_fraction, self.split_seed)
