"""The config of the decoder, and what the configs of all models have in common. Imports neither jax nor torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from jaxdec.config.documents import Documents, Joined, Separate
from jaxdec.config.parts import (
    MLP,
    Config,
    FeedForward,
    Full,
    LayerNorm,
    Norm,
    Pattern,
    RMSNorm,
    per_layer,
    require,
    require_positive,
    require_whole,
)
from jaxdec.config.positions import Learned, NoPosition, Position, RoPE, Sinusoidal
from jaxdec.config.setting import setting

# Help texts of settings that several models have.
CONTEXT = "positions the model knows, which is the most it reads at once"
DROPOUT = "dropout of embeddings, attention weights and residual branches"
INIT_STD = "std of the normal distribution that matrices are drawn from"
TIED_HEAD = "the head is the token embedding, transposed"
VOCABULARY = "tokens of the vocabulary; more than the tokenizer has pad it; None: the tokenizer's"


def check_model(config: Any) -> None:
    """What all models have in common."""
    require_whole(config, "model", "width", "context", "vocab_size")
    dropout = getattr(config, "dropout", 0.0)
    require(0 <= dropout < 1, f"model.dropout is {dropout}: give a number in [0, 1)")


def check_heads(width: int, heads: int) -> None:
    require(
        width % heads == 0,
        f"model.heads {heads} does not divide model.width {width}: every head gets width / heads channels",
    )


def check_rotary(rope: RoPE, head_dim: int) -> None:
    require(
        rope.turned(head_dim) <= head_dim,
        f"model.position.channels {rope.channels} is more than the {head_dim} channels of a head: lower it",
    )
    require(
        rope.turned(head_dim) % 2 == 0,
        f"rotary positions turn channels in pairs: model.position.channels {rope.channels} is odd. Change it"
        if rope.channels is not None
        else f"rotary positions turn channels in pairs: heads of {head_dim} channels are odd. "
        "Change model.width, model.heads or model.head_dim",
    )


@dataclass(frozen=True)
class DecoderConfig(Config):
    """A decoder: token embeddings, blocks of causal attention and a feed-forward layer, a norm and a head."""

    kind: ClassVar[str] = "decoder"
    layers: int = field(metadata={"help": "blocks"})
    heads: int = field(metadata={"help": "query heads of a block"})
    width: int = field(metadata={"help": "channels of the residual stream"})
    context: int = field(metadata={"help": "positions the model knows, which is the most it reads at once"})
    vocab_size: int | None = setting(None, VOCABULARY)
    kv_heads: int | None = setting(
        None, "key/value heads; fewer than heads is grouped-query attention (Ainslie et al. 2023); None: as many"
    )
    head_dim: int | None = setting(None, "size of a head; None: width / heads")
    position: Position | tuple[Position, ...] = setting(Learned(), "how the model knows the order of tokens")
    norm: Norm = setting(LayerNorm(), "the norm of the blocks, and the one before the head")
    branch_norm: Literal["pre", "post", "both"] = setting(
        "pre", "where a block normalises: pre x + f(norm(x)), post x + norm(f(x)) (OLMo 2), or both (Gemma 2)"
    )
    residual: Literal["sequential", "parallel", "parallel_one_norm"] = setting(
        "sequential",
        "what the feed-forward layer reads: the sum with attention, or in parallel what attention reads, with a norm "
        "of its own (GPT-NeoX) or with one norm for both (Cohere)",
    )
    residual_scale: float | None = setting(None, "what a branch returns is multiplied by this, then added (Granite)")
    qk_norm: RMSNorm | None = setting(None, "norm of queries and keys, before the rotation (Henry et al. 2020)")
    qk_norm_over: Literal["head", "all"] = setting(
        "head", "qk_norm takes each head by itself, or all heads' channels as one vector (OLMo 2)"
    )
    attention: Pattern | tuple[Pattern, ...] = setting(Full(), "which tokens a query attends to")
    qkv_clip: float | None = setting(
        None, "queries, keys and values are cut off beyond plus and minus this, before the rotation (OLMo)"
    )
    documents: Documents = setting(Joined(), "whether documents that share a training example read one another")
    score_scale: float | None = setting(None, "attention scores are q k^T times this; None: 1 / sqrt(head_dim)")
    mlp: FeedForward | tuple[FeedForward, ...] = setting(MLP(), "the feed-forward layer of a block")
    bias: bool = setting(True, "biases of every projection and layer norm in the blocks, and of the final norm")
    attention_bias: bool | Literal["qkv", "out"] | None = setting(
        None,
        "biases of attention; qkv: of query, key and value only (Qwen 2); out: of the projection of their outputs only "
        "(GPT-Neo); None: as bias",
    )
    embed_scale: float | None = setting(None, "token embeddings are multiplied by this; Gemma: sqrt(width)")
    tied_head: bool = setting(True, TIED_HEAD)
    head_bias: bool = setting(False, "the head adds a trained bias to the logits, if it is not tied (Phi, GPT-J)")
    logit_scale: float | None = setting(None, "logits are multiplied by this, before any soft cap (Granite, Cohere)")
    logit_softcap: float | None = setting(None, "logits become softcap * tanh(logits / softcap) (Gemma 2)")
    classes: int | None = setting(
        None,
        "a classifier: a linear layer to so many classes takes the place of the head, with its settings; None: the "
        "model predicts tokens",
    )
    dropout: float = setting(0.0, "dropout of embeddings, attention weights and both residual branches, as in GPT-2")
    init_std: float = setting(0.02, "std of every matrix; residual projections get init_std / sqrt(2 * layers)")

    def __post_init__(self) -> None:
        check_model(self)
        require_whole(self, "model", "layers", "heads", "kv_heads", "head_dim")
        require(
            self.classes is None or self.classes >= 2,
            f"model.classes is {self.classes}: a classifier tells at least 2 classes apart; None predicts tokens",
        )
        if self.head_dim is None:
            check_heads(self.width, self.heads)
        require(
            self.heads % self.resolved_kv_heads == 0,
            f"model.kv_heads {self.kv_heads} does not divide model.heads {self.heads}: "
            "every key/value head serves the same number of query heads",
        )
        places = self.position if isinstance(self.position, tuple) else (self.position,)
        require(
            self.residual != "parallel_one_norm" or self.branch_norm != "post",
            "model.residual is parallel_one_norm, but with model.branch_norm post no norm stands before the branches: "
            "change one of them",
        )
        for place in places:
            if isinstance(place, RoPE):
                check_rotary(place, self.resolved_head_dim)
        require(
            not isinstance(self.position, Sinusoidal) or self.width % 2 == 0,
            f"sinusoidal positions need an even model.width, not {self.width}",
        )
        require(
            not isinstance(self.position, tuple) or all(isinstance(place, RoPE | NoPosition) for place in places),
            "model.position differs from layer to layer, but learned and sinusoidal positions are added to the "
            "embeddings, before all layers: give one of them alone, or layers with rope and none",
        )
        require(
            not (self.head_bias and self.tied_head),
            "model.head_bias is on, but the head is the token embedding, which has no bias: set model.tied_head to "
            "false, or model.head_bias",
        )
        for name in ("residual_scale", "qkv_clip", "score_scale", "embed_scale", "logit_scale", "logit_softcap"):
            require_positive(self, "model", name)
        require(
            self.qk_norm_over == "head" or self.qk_norm is not None,
            f"model.qk_norm_over is {self.qk_norm_over}, but there is no such norm: set model.qk_norm too",
        )
        start = self.documents.start if isinstance(self.documents, Separate) else None
        require(
            start is None or self.vocab_size is None or start < self.vocab_size,
            f"model.documents.start is {start}: give an id of the vocabulary of {self.vocab_size} tokens",
        )
        for name in ("position", "attention", "mlp"):
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
        """Size of a head: `head_dim`, or else width / heads."""
        return self.head_dim or self.width // self.heads

    @property
    def resolved_kv_heads(self) -> int:
        """Key/value heads."""
        return self.kv_heads or self.heads

    @property
    def qkv_bias(self) -> bool:
        """Whether query, key and value have a bias."""
        return self._attention_bias in (True, "qkv")

    @property
    def out_bias(self) -> bool:
        """Whether the projection back to the residual stream has a bias."""
        return self._attention_bias in (True, "out")

    @property
    def _attention_bias(self) -> bool | Literal["qkv", "out"]:
        return self.bias if self.attention_bias is None else self.attention_bias

    def position_of(self, layer: int) -> Position:
        return per_layer(self.position, layer)

    def attention_of(self, layer: int) -> Pattern:
        return per_layer(self.attention, layer)

    def mlp_of(self, layer: int) -> FeedForward:
        return per_layer(self.mlp, layer)
