"""Configs of models: one frozen dataclass for each kind of model, made of the parts in `config/parts.py`.

Imports neither jax nor torch. All have `width`, `context` and `vocab_size`, which None leaves to the tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from jaxdec.config.decoder import (
    CONTEXT,
    DROPOUT,
    INIT_STD,
    TIED_HEAD,
    VOCABULARY,
    DecoderConfig,
    check_heads,
    check_model,
)
from jaxdec.config.parts import (
    MLP,
    Config,
    GatedMLP,
    LayerNorm,
    Norm,
    require,
    require_whole,
)
from jaxdec.config.positions import Learned, NoPosition, Sinusoidal
from jaxdec.config.setting import setting


@dataclass(frozen=True)
class BigramConfig(Config):
    """The next token from the previous one alone: an embedding and a head."""

    kind: ClassVar[str] = "bigram"
    width: int = setting(32, "channels of the embedding")
    context: int = setting(8, "tokens of a training example; the model reads one")
    vocab_size: int | None = setting(None, VOCABULARY)
    init_std: float = setting(0.02, INIT_STD)

    def __post_init__(self) -> None:
        check_model(self)

    @property
    def decoder(self) -> None:
        """None: a bigram model has no attention layers."""
        return None


@dataclass(frozen=True)
class SingleHeadConfig(Config):
    """One causal attention head between embeddings and head: no output projection, no residual."""

    kind: ClassVar[str] = "single_head"
    width: int = setting(64, "channels of the embedding, and of the head")
    context: int = setting(32, CONTEXT)
    vocab_size: int | None = setting(None, VOCABULARY)
    init_std: float = setting(0.02, INIT_STD)

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
    """Several causal heads with head_dim width / heads, concatenated and projected."""

    kind: ClassVar[str] = "multi_head"
    heads: int = setting(4, "attention heads")
    width: int = setting(64, "channels of the embedding, and of all heads together")
    context: int = setting(32, CONTEXT)
    vocab_size: int | None = setting(None, VOCABULARY)
    init_std: float = setting(0.02, INIT_STD)

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
    heads: int = setting(4, "attention heads")
    width: int = setting(64, "channels of the residual stream")
    context: int = setting(32, CONTEXT)
    layers: int = setting(1, "blocks")
    vocab_size: int | None = setting(None, VOCABULARY)
    norm: Norm = setting(LayerNorm(), "the norm before each branch")
    mlp: MLP | GatedMLP = setting(MLP(), "the feed-forward layer of a block")
    dropout: float = setting(0.0, DROPOUT)
    init_std: float = setting(0.02, INIT_STD)

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
    layers: int = field(metadata={"help": "layers of the encoder, and as many of the decoder"})
    heads: int = field(metadata={"help": "attention heads of a layer"})
    width: int = field(metadata={"help": "channels of the residual stream"})
    context: int = field(metadata={"help": "the most tokens of a source, and of a target"})
    vocab_size: int | None = setting(None, "tokens of the shared vocabulary; None: the tokenizer's")
    position: Learned | Sinusoidal = setting(Sinusoidal(), "how the model knows the order of tokens")
    norm: Norm = setting(LayerNorm(), "the norm of every branch")
    norm_place: Literal["post", "pre"] = setting("post", "post: norm(x + f(x)), as in the paper; pre: x + f(norm(x))")
    mlp: MLP | GatedMLP = setting(MLP(activation="relu"), "the feed-forward layer")
    bias: bool = setting(True, "biases of every projection and layer norm")
    tied_head: bool = setting(True, TIED_HEAD)
    dropout: float = setting(0.0, DROPOUT)
    init_std: float = setting(0.02, INIT_STD)

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


DECODERS = (BigramConfig, SingleHeadConfig, MultiHeadConfig, OneBlockConfig, DecoderConfig)  # each continues a text
AnyModel = DecoderConfig | BigramConfig | SingleHeadConfig | MultiHeadConfig | OneBlockConfig | EncoderDecoderConfig
