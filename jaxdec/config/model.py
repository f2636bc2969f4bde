"""Models as values: one frozen dataclass for each kind of wiring, made of the parts in `layer_config`.

Imports neither jax nor torch. All have `width`, `context` and `vocab_size`, which None leaves to the tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from jaxdec.config.parts import (
    MLP,
    Config,
    FeedForward,
    Full,
    GatedMLP,
    LayerNorm,
    Pattern,
    RMSNorm,
    per_layer,
    require,
    require_positive,
    require_whole,
)
from jaxdec.config.positions import Learned, NoPosition, RoPE, Sinusoidal


def check_model(config: AnyModel) -> None:
    """What all models have in common."""
    require_whole(config, "model", "width", "context", "vocab_size")
    dropout = getattr(config, "dropout", 0.0)
    require(0 <= dropout < 1, f"model.dropout is {dropout}: give a number in [0, 1)")


def check_heads(width: int, heads: int) -> None:
    require(
        width % heads == 0,
        f"model.heads {heads} does not divide model.width {width}: every head gets width / heads channels",
    )


@dataclass(frozen=True)
class DecoderConfig(Config):
    """A decoder. `vocab_size` None means the tokenizer's; a larger one pads the vocabulary."""

    kind: ClassVar[str] = "decoder"
    layers: int
    heads: int
    width: int
    context: int  # positions the model knows: rows of a position table, and the most that is read at once
    vocab_size: int | None = None
    kv_heads: int | None = None  # grouped-query attention (Ainslie et al. 2023); None: as many as heads
    head_dim: int | None = None  # channels of a head; None: width / heads
    position: Learned | Sinusoidal | RoPE | NoPosition = field(default_factory=Learned)
    norm: LayerNorm | RMSNorm = field(default_factory=LayerNorm)
    branch_norm: Literal["pre", "post", "both"] = "pre"  # x + f(norm(x)); x + norm(f(x)) (OLMo 2); both (Gemma 2)
    qk_norm: RMSNorm | None = None  # of queries and keys, before the rotation (Henry et al. 2020)
    qk_norm_over: Literal["head", "all"] = "head"  # each head by itself, or all heads' channels as one vector (OLMo 2)
    attention: Pattern | tuple[Pattern, ...] = field(default_factory=Full)
    score_scale: float | None = None  # of q k^T; None: 1 / sqrt(channels of a head)
    mlp: FeedForward | tuple[FeedForward, ...] = field(default_factory=MLP)
    bias: bool = True  # of every projection and layer norm in the blocks, and of the final norm
    attention_bias: bool | Literal["qkv"] | None = None  # "qkv": of all but the output (Qwen 2); None: as bias
    embed_scale: float | None = None  # token vectors are multiplied by this; Gemma: sqrt(width)
    tied_head: bool = True  # the head reads the token embedding
    logit_softcap: float | None = None  # logits become softcap * tanh(logits / softcap) (Gemma 2)
    dropout: float = 0.0  # embeddings, attention weights and both residual branches, as in GPT-2
    init_std: float = 0.02  # of every matrix; residual projections get init_std / sqrt(2 * layers)

    def __post_init__(self) -> None:
        check_model(self)
        require_whole(self, "model", "layers", "heads", "kv_heads", "head_dim")
        if self.head_dim is None:
            check_heads(self.width, self.heads)
        require(
            self.heads % self.resolved_kv_heads == 0,
            f"model.kv_heads {self.kv_heads} does not divide model.heads {self.heads}: "
            "every key/value head serves the same number of query heads",
        )
        require(
            not isinstance(self.position, RoPE) or self.resolved_head_dim % 2 == 0,
            f"rotary positions turn channels in pairs: heads of {self.resolved_head_dim} channels are odd. "
            "Change model.width, model.heads or model.head_dim",
        )
        require(
            not isinstance(self.position, Sinusoidal) or self.width % 2 == 0,
            f"sinusoidal positions need an even model.width, not {self.width}",
        )
        require_positive(self, "model", "score_scale", "embed_scale", "logit_softcap")
        require(
            self.qk_norm_over == "head" or self.qk_norm is not None,
            f"model.qk_norm_over is {self.qk_norm_over}, but there is no such norm: set model.qk_norm too",
        )
        for name in ("attention", "mlp"):
            values = getattr(self, name)
            require(
                not isinstance(values, tuple) or 1 <= len(values) <= self.layers,
                f"model.{name} has {len(values) if isinstance(values, tuple) else 1} values for {self.layers} layers: "
                "give one for all, or from 1 to as many as there are layers",
            )

    @property
    def decoder(self) -> DecoderConfig:
        """The config of the layers, which every model has: here, itself."""
        return self

    @property
    def resolved_head_dim(self) -> int:
        """Channels of a head."""
        return self.head_dim or self.width // self.heads

    @property
    def resolved_kv_heads(self) -> int:
        """Key/value heads."""
        return self.kv_heads or self.heads

    @property
    def qkv_bias(self) -> bool:
        """Whether query, key and value have a bias."""
        return bool(self.bias if self.attention_bias is None else self.attention_bias)

    @property
    def out_bias(self) -> bool:
        """Whether the projection back to the residual stream has a bias."""
        return self.qkv_bias and self.attention_bias != "qkv"

    def attention_of(self, layer: int) -> Pattern:
        return per_layer(self.attention, layer)

    def mlp_of(self, layer: int) -> FeedForward:
        return per_layer(self.mlp, layer)


@dataclass(frozen=True)
class BigramConfig(Config):
    """The next token from the previous one alone: an embedding and a head."""

    kind: ClassVar[str] = "bigram"
    width: int = 32
    context: int = 8  # tokens that a training example holds; the model reads one
    vocab_size: int | None = None
    init_std: float = 0.02

    def __post_init__(self) -> None:
        check_model(self)

    @property
    def decoder(self) -> None:
        """The config of the attention layers: there is none."""
        return None


@dataclass(frozen=True)
class SingleHeadConfig(Config):
    """One causal attention head between embeddings and head: no output projection, no residual."""

    kind: ClassVar[str] = "single_head"
    width: int = 64
    context: int = 32
    vocab_size: int | None = None
    init_std: float = 0.02

    def __post_init__(self) -> None:
        check_model(self)

    @property
    def decoder(self) -> DecoderConfig:
        """The config of its attention layer."""
        return DecoderConfig(
            layers=1, heads=1, width=self.width, context=self.context, bias=False, init_std=self.init_std
        )


@dataclass(frozen=True)
class MultiHeadConfig(Config):
    """Several causal heads of width / heads channels, concatenated and projected."""

    kind: ClassVar[str] = "multi_head"
    heads: int = 4
    width: int = 64
    context: int = 32
    vocab_size: int | None = None
    init_std: float = 0.02

    def __post_init__(self) -> None:
        check_model(self)
        require_whole(self, "model", "heads")
        check_heads(self.width, self.heads)

    @property
    def decoder(self) -> DecoderConfig:
        """The config of its attention layer."""
        return DecoderConfig(
            layers=1, heads=self.heads, width=self.width, context=self.context, bias=False, init_std=self.init_std
        )


@dataclass(frozen=True)
class OneBlockConfig(Config):
    """Attention and feed-forward layer with residuals and norms, as one block; no norm before the head."""

    kind: ClassVar[str] = "one_block"
    heads: int = 4
    width: int = 64
    context: int = 32
    layers: int = 1
    vocab_size: int | None = None
    norm: LayerNorm | RMSNorm = field(default_factory=LayerNorm)
    mlp: MLP | GatedMLP = field(default_factory=MLP)
    dropout: float = 0.0
    init_std: float = 0.02

    def __post_init__(self) -> None:
        check_model(self)
        require_whole(self, "model", "heads", "layers")
        check_heads(self.width, self.heads)

    @property
    def decoder(self) -> DecoderConfig:
        """The config of its blocks."""
        return DecoderConfig(
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            context=self.context,
            norm=self.norm,
            mlp=self.mlp,
            dropout=self.dropout,
            init_std=self.init_std,
        )


@dataclass(frozen=True)
class EncoderDecoderConfig(Config):
    """The transformer of Vaswani et al. 2017: an encoder of the source, and a decoder that attends to it."""

    kind: ClassVar[str] = "encoder_decoder"
    layers: int  # of the encoder, and as many of the decoder
    heads: int
    width: int
    context: int  # the most tokens of a source, and of a target
    vocab_size: int | None = None  # shared by source and target
    position: Learned | Sinusoidal = field(default_factory=Sinusoidal)
    norm: LayerNorm | RMSNorm = field(default_factory=LayerNorm)
    norm_place: Literal["post", "pre"] = "post"  # norm(x + f(x)), as in the paper; x + f(norm(x))
    mlp: MLP | GatedMLP = field(default_factory=lambda: MLP(activation="relu"))
    bias: bool = True
    tied_head: bool = True  # the head reads the token embedding, which source and target share
    dropout: float = 0.0
    init_std: float = 0.02

    def __post_init__(self) -> None:
        check_model(self)
        require_whole(self, "model", "layers", "heads")
        check_heads(self.width, self.heads)
        require(
            not isinstance(self.position, Sinusoidal) or self.width % 2 == 0,
            f"sinusoidal positions need an even model.width, not {self.width}",
        )

    @property
    def decoder(self) -> DecoderConfig:
        """The config of the decoder's layers, as far as a decoder has them: self-attention and feed-forward layer."""
        return DecoderConfig(
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            context=self.context,
            position=NoPosition(),
            norm=self.norm,
            mlp=self.mlp,
            bias=self.bias,
            dropout=self.dropout,
            init_std=self.init_std,
        )


AnyModel = DecoderConfig | BigramConfig | SingleHeadConfig | MultiHeadConfig | OneBlockConfig | EncoderDecoderConfig
