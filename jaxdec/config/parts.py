"""Configs of the exchangeable parts of a model: norms, attention patterns, feed-forward layers.

Imports neither jax nor torch. `kind` is the name of a variant in files and flags. Where layers differ, a part is a
tuple of values that repeats over the layers: `mlp=(MLP(), MoE(...))` makes every second feed-forward layer a mixture of
experts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from jaxdec.config.setting import setting
from jaxdec.errors import UserError

Activation = Literal["gelu_tanh", "gelu", "gelu_sigmoid", "relu", "relu_squared", "silu"]
Value = TypeVar("Value")


class Config:
    """Base of all sections: reading one from a file rejects keys it does not have (see `config/yaml.py`)."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


def require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


def per_layer(values: Value | tuple[Value, ...], layer: int) -> Value:
    """The value for a layer: a tuple repeats over the layers."""
    if isinstance(values, tuple):
        return values[layer % len(values)]  # type: ignore[return-value]
    return values


def require_whole(config: Config, where: str, *names: str) -> None:
    """Raises UserError unless the fields of these names are at least 1, where they are not None."""
    for name in names:
        value = getattr(config, name)
        require(value is None or value >= 1, f"{where}.{name} is {value}: give a whole number from 1")


def require_positive(config: Config, where: str, *names: str) -> None:
    """Raises UserError unless the fields of these names are above 0, where they are not None."""
    for name in names:
        value = getattr(config, name)
        require(value is None or value > 0, f"{where}.{name} is {value}: give more than 0, or None")


# Norms


@dataclass(frozen=True)
class LayerNorm(Config):
    """Layer normalisation (Ba et al. 2016). GPT-2 and torch use epsilon 1e-5, Flax's own default is 1e-6."""

    kind: ClassVar[str] = "layer_norm"
    epsilon: float = setting(1e-5, "added to the variance, or to the mean square")
    scale: bool = setting(True, "a trained factor of each channel (OLMo has none)")
    bias: bool | None = setting(None, "a trained bias of each channel; None: where the model's projections have one")

    def __post_init__(self) -> None:
        require(self.epsilon > 0, f"model.norm.epsilon is {self.epsilon}: give a positive number")


@dataclass(frozen=True)
class RMSNorm(Config):
    """Root mean square normalisation (Zhang and Sennrich 2019): no mean, no bias."""

    kind: ClassVar[str] = "rms_norm"
    epsilon: float = setting(1e-5, "added to the variance, or to the mean square")

    def __post_init__(self) -> None:
        require(self.epsilon > 0, f"model.norm.epsilon is {self.epsilon}: give a positive number")


# Attention


@dataclass(frozen=True)
class AttentionPattern(Config):
    """Which keys a query may read, and what is done to its scores before the softmax.

    A pattern is a class with a rule `allowed(query, key)`, which both frameworks, training and the cached
    decoder share. It takes positions that broadcast against each other and uses only arithmetic, comparisons, `&` and
    `|`, so that numpy, JAX and torch arrays all work.
    """

    softcap: float | None = setting(None, "scores become softcap * tanh(scores / softcap) (Gemma 2)")
    sink: float | None = setting(
        None, "a trained score per head that takes weight and gives nothing; this is its first value (GPT-OSS)"
    )
    alibi: float | None = setting(
        None, "head h of H subtracts 2^(-alibi h / H) per position of distance (Press et al. 2022, who use 8)"
    )

    def __post_init__(self) -> None:
        require_positive(self, "model.attention", "softcap", "alibi")

    @property
    def reach(self) -> int | None:
        """How many tokens back a query may read at most, itself included: what a cache must keep. None: all."""
        return None

    def allowed(self, query: Any, key: Any) -> Any:
        """Where the query at one position may read the key at another."""
        raise NotImplementedError(f"the attention pattern {type(self).__name__} has no rule `allowed(query, key)`")


@dataclass(frozen=True)
class Full(AttentionPattern):
    """A query reads itself and all before it."""

    kind: ClassVar[str] = "full"

    def allowed(self, query: Any, key: Any) -> Any:
        return key <= query


@dataclass(frozen=True)
class Local(AttentionPattern):
    """A sliding window (Beltagy et al. 2020): a query reads itself and the `window - 1` before it."""

    kind: ClassVar[str] = "local"
    window: int = setting(128, "tokens that a query attends to, itself among them")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole(self, "model.attention", "window")

    @property
    def reach(self) -> int:
        return self.window

    def allowed(self, query: Any, key: Any) -> Any:
        return (key <= query) & (query - key < self.window)


@dataclass(frozen=True)
class Strided(AttentionPattern):
    """Strided sparse attention (Child et al. 2019): the last `stride` positions, and every `stride`-th before them."""

    kind: ClassVar[str] = "strided"
    stride: int = setting(8, "length of the recent part, and the distance of the tokens kept before it")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole(self, "model.attention", "stride")

    def allowed(self, query: Any, key: Any) -> Any:
        return (key <= query) & ((query - key < self.stride) | ((query - key) % self.stride == 0))


# Feed-forward layers


@dataclass(frozen=True)
class MLP(Config):
    """The position-wise feed-forward layer: width -> hidden -> width channels.

    `hidden` is given as such or as `expansion`, a multiple of the width; with neither it is 4 * width.
    """

    kind: ClassVar[str] = "mlp"
    expansion: int | None = setting(None, "hidden channels, in multiples of the width; None: 4, unless hidden is given")
    activation: Activation = setting("gelu_tanh", "the nonlinearity between the two projections")
    hidden: int | None = setting(None, "hidden channels, any number of them; None: expansion times the width")

    def __post_init__(self) -> None:
        require_whole(self, "model.mlp", "expansion", "hidden")
        require(
            self.expansion is None or self.hidden is None,
            f"model.mlp has expansion {self.expansion} and hidden {self.hidden}, which both set its hidden channels: "
            "give one of them and leave the other at None",
        )

    def resolved_hidden(self, width: int) -> int:
        """Hidden channels in a model of `width` channels."""
        return self.hidden or (self.expansion or 4) * width


@dataclass(frozen=True)
class GatedMLP(Config):
    """A gated feed-forward layer (Shazeer 2020): down(silu(gate(x)) * up(x)), `hidden` channels in between.

    With other activations it is GEGLU (Gemma) or ReGLU. GPT-OSS has activation "gelu_sigmoid", clamp 7 and up_shift 1.
    """

    kind: ClassVar[str] = "swiglu"
    hidden: int = field(metadata={"help": "channels between the projections"})
    activation: Activation = setting("silu", "the nonlinearity of the gate")
    clamp: float | None = setting(None, "gate(x) is cut off above this, up(x) beyond plus and minus this")
    up_shift: float = setting(0.0, "added to up(x) after that: activation(gate(x)) * (up(x) + up_shift)")

    def __post_init__(self) -> None:
        require_whole(self, "model.mlp", "hidden")
        require_positive(self, "model.mlp", "clamp")
        require(math.isfinite(self.up_shift), f"model.mlp.up_shift is {self.up_shift}: give a finite number")

    def resolved_hidden(self, width: int) -> int:
        """Hidden channels, whatever the model's width."""
        return self.hidden


@dataclass(frozen=True)
class MoE(Config):
    """A mixture of experts (Shazeer et al. 2017; Fedus et al. 2021): each token goes to `top_k` of `experts`."""

    kind: ClassVar[str] = "moe"
    experts: int = field(metadata={"help": "experts of a layer"})
    top_k: int = setting(2, "experts that a token goes to")
    expert: MLP | GatedMLP = setting(MLP(), "the layer that every expert is")
    shared: MLP | GatedMLP | None = setting(None, "an expert beside them that every token goes to (Dai et al. 2024)")
    shared_gate: bool = setting(False, "what the shared expert returns is multiplied by sigmoid(x w) (Qwen 2 MoE)")
    router_bias: bool = setting(False, "the router's scores get a trained bias (GPT-OSS)")
    noisy: bool = setting(False, "router scores get trained noise in training (Shazeer et al. 2017, eq. 4)")
    gates: Literal["chosen", "all"] = setting("chosen", "gates are a softmax over the chosen scores, or over all")
    capacity_factor: float | None = setting(
        1.25, "slots of an expert in training, as a multiple of an even share; None: no token is dropped"
    )
    eval_capacity_factor: float | None = setting(2.0, "the same outside of training")
    min_capacity: int = setting(4, "capacities are at least this, and rounded down to an even number")
    balance_loss: float = setting(0.01, "coefficient of the load-balancing loss (Fedus et al. 2021, eq. 4)")
    z_loss: float = setting(0.001, "coefficient of the router z-loss (Zoph et al. 2022, eq. 5)")
    init_scale: float = setting(
        0.1, "experts start from truncated normals of variance init_scale / fan-in (Fedus et al. 2021)"
    )

    def __post_init__(self) -> None:
        require_whole(self, "model.mlp", "experts", "top_k", "min_capacity")
        require(
            self.top_k <= self.experts,
            f"model.mlp.top_k {self.top_k} is more than the {self.experts} experts there are: lower it",
        )
        require(
            not self.shared_gate or self.shared is not None,
            "model.mlp.shared_gate is True, but there is no shared expert: set model.mlp.shared too",
        )
        for name in ("capacity_factor", "eval_capacity_factor", "init_scale"):
            value = getattr(self, name)
            require(value is None or value > 0, f"model.mlp.{name} is {value}: give more than 0")
        for name in ("balance_loss", "z_loss"):
            require(getattr(self, name) >= 0, f"model.mlp.{name} is {getattr(self, name)}: give 0 or more")


Norm = LayerNorm | RMSNorm
FeedForward = MLP | GatedMLP | MoE
Pattern = Full | Local | Strided
