"""Configs of position encodings, and of the scalings that stretch rotary positions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from jaxdec.config.parts import Config, require, require_whole
from jaxdec.config.setting import setting


@dataclass(frozen=True)
class Learned(Config):
    """A trained vector for each position (GPT-2). OpenAI's code draws it with std 0.01, nanoGPT with 0.02."""

    kind: ClassVar[str] = "learned"
    init_std: float = setting(0.02, "std of the normal distribution that the vectors are drawn from")


@dataclass(frozen=True)
class Sinusoidal(Config):
    """Fixed sines and cosines added to the embeddings (Vaswani et al. 2017, section 3.5)."""

    kind: ClassVar[str] = "sinusoidal"
    base: float = setting(10_000.0, "wavelengths go from 2 pi to 2 pi times this")

    def __post_init__(self) -> None:
        require(self.base > 1, f"model.position.base is {self.base}: give more than 1")


@dataclass(frozen=True)
class NoPosition(Config):
    """None: the order is known from the causal mask alone, or from ALiBi in the attention layers."""

    kind: ClassVar[str] = "none"


@dataclass(frozen=True)
class LinearScaling(Config):
    """Position interpolation (Chen et al. 2023): all frequencies divided by `factor`."""

    kind: ClassVar[str] = "linear"
    factor: float = field(metadata={"help": "positions are divided by this"})

    def __post_init__(self) -> None:
        require(self.factor >= 1, f"model.position.scaling.factor is {self.factor}: give 1 or more")


@dataclass(frozen=True)
class Llama3Scaling(Config):
    """Llama 3.1's: long wavelengths divided by `factor`, short ones kept, a ramp in between."""

    kind: ClassVar[str] = "llama3"
    original_context: int = field(metadata={"help": "positions that the model was trained on"})
    factor: float = setting(8.0, "frequencies of long wavelengths are divided by this")
    low_frequency: float = setting(1.0, "wavelengths above original_context / this are divided")
    high_frequency: float = setting(4.0, "wavelengths below original_context / this are kept")

    def __post_init__(self) -> None:
        require_whole(self, "model.position.scaling", "original_context")
        require(self.factor >= 1, f"model.position.scaling.factor is {self.factor}: give 1 or more")
        require(
            self.high_frequency > self.low_frequency > 0,
            f"model.position.scaling.high_frequency {self.high_frequency} must be above low_frequency "
            f"{self.low_frequency}, and both above 0",
        )


@dataclass(frozen=True)
class YarnScaling(Config):
    """YaRN (Peng et al. 2023): interpolation by frequency, and a temperature of the attention scores."""

    kind: ClassVar[str] = "yarn"
    original_context: int = field(metadata={"help": "positions that the model was trained on"})
    factor: float = setting(8.0, "frequencies of long wavelengths are divided by this")
    beta_fast: float = setting(32.0, "channel pairs that turn more often than this within original_context are kept")
    beta_slow: float = setting(1.0, "channel pairs that turn less often than this are divided by the factor")
    attention_factor: float | None = setting(None, "queries and keys are multiplied by this; None: 0.1 ln(factor) + 1")
    truncate: bool = setting(True, "the ends of the ramp are rounded outwards to whole pairs (not in GPT-OSS)")

    def __post_init__(self) -> None:
        require_whole(self, "model.position.scaling", "original_context")
        require(self.factor >= 1, f"model.position.scaling.factor is {self.factor}: give 1 or more")
        require(
            self.beta_fast > self.beta_slow > 0,
            f"model.position.scaling.beta_fast {self.beta_fast} must be above beta_slow {self.beta_slow}, "
            "and both above 0",
        )


@dataclass(frozen=True)
class RoPE(Config):
    """Rotary positions (Su et al. 2021), in the half-split layout: channel c turns with channel c + C / 2.

    Where not all channels turn, C counts those that do, in the frequencies too.
    """

    kind: ClassVar[str] = "rope"
    theta: float = setting(10_000.0, "wavelengths go from 2 pi to 2 pi times this")
    scaling: LinearScaling | Llama3Scaling | YarnScaling | None = setting(
        None, "how frequencies change to reach beyond the positions that were trained on"
    )
    channels: int | None = setting(
        None, "only the first of a head's channels turn, this many (GPT-NeoX); None: all of them"
    )

    def __post_init__(self) -> None:
        require(self.theta > 1, f"model.position.theta is {self.theta}: give more than 1")
        require_whole(self, "model.position", "channels")

    def turned(self, head_dim: int) -> int:
        """How many of a head's channels turn."""
        return head_dim if self.channels is None else self.channels


Position = Learned | Sinusoidal | RoPE | NoPosition
