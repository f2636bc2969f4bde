"""What the families with rotary positions, RMS norms and gated layers share: config, weights, taps, a tiny config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import GatedMLP, MoE, RMSNorm
from jaxdec.weights.huggingface.family import need
from jaxdec.weights.huggingface.rotary import read_rope, write_rope
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, biases, kernels, scales, under, when

BLOCK, LAYER = "blocks.{i}.", "model.layers.{i}."
QKV = {
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
}
OUT = {"attention.out": "self_attn.o_proj"}
QK_NORM = {"attention.query_norm": "self_attn.q_norm", "attention.key_norm": "self_attn.k_norm"}
GATED = {"mlp.gate": "mlp.gate_proj", "mlp.up": "mlp.up_proj", "mlp.down": "mlp.down_proj"}
ROUTER = {"mlp.router": "mlp.gate"}
NORMS: Mapping[str, Table] = {
    "pre": {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"},
    "post": {
        "attention_post_norm": "post_attention_layernorm",
        "mlp_post_norm": "post_feedforward_layernorm",
    },
    "both": {
        "attention_norm": "input_layernorm",
        "attention_post_norm": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm",
        "mlp_post_norm": "post_feedforward_layernorm",
    },
}
FINAL_NORM = {"final_norm": "model.norm"}
# Gate and up are the halves of one tensor [experts, 2 hidden, width].
EXPERTS = {
    "mlp.router.kernel": "mlp.gate.weight : T",
    "mlp.experts.gate": "mlp.experts.gate_up_proj : chunk(0,2,1) T",
    "mlp.experts.up": "mlp.experts.gate_up_proj : chunk(1,2,1) T",
    "mlp.experts.down": "mlp.experts.down_proj : T",
}
DEFAULTS: Mapping[str, Any] = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "initializer_range": 0.02,
    "tie_word_embeddings": False,
    "attention_bias": False,
}
TINY: Mapping[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": None,  # torch gives its embedding no gradient
    "bos_token_id": None,
    "eos_token_id": None,
}
TINY_MIXTURE: Mapping[str, Any] = {**TINY, "num_experts_per_tok": 2}


def tiny_rope(kind: str, **settings: Any) -> dict[str, Any]:
    """Rotary settings of a tiny config, whose heads turn fast enough to tell scalings apart."""
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 1000.0, **settings}}


RAMP: Mapping[str, Any] = {  # of YaRN, inside the few pairs of a tiny head
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 2.0,
    "beta_slow": 0.25,
}


def read(settings: HFSettings, **parts: Any) -> DecoderConfig:
    """The config that the shared settings describe; `parts` replace some of it."""
    shared: dict[str, Any] = {
        "layers": settings.whole("num_hidden_layers"),
        "heads": settings.whole("num_attention_heads"),
        "width": settings.whole("hidden_size"),
        "context": settings.whole("max_position_embeddings"),
        "vocab_size": settings.whole("vocab_size"),
        "kv_heads": settings("num_key_value_heads"),
        "head_dim": settings("head_dim"),
        "bias": False,
        "attention_bias": settings("attention_bias"),
        "tied_head": settings("tie_word_embeddings"),
        "init_std": settings("initializer_range"),
    }
    if "position" not in parts:
        parts["position"] = read_rope(settings)
    if "norm" not in parts:
        parts["norm"] = read_norm(settings)
    if "mlp" not in parts:
        parts["mlp"] = read_gated(settings)
    return DecoderConfig(**{**shared, **parts})


def read_norm(settings: HFSettings) -> RMSNorm:
    """The norm of every place."""
    return RMSNorm(settings.number("rms_norm_eps"))


def read_gated(settings: HFSettings, hidden: str = "intermediate_size", activation: str = "hidden_act") -> GatedMLP:
    """The gated layer whose width and activation stand under these names."""
    return GatedMLP(settings.whole(hidden), activation=settings.activation(activation))


def read_mixture(settings: HFSettings, expert: GatedMLP, **parts: Any) -> MoE:
    """Without capacities, so that no token is dropped, and without auxiliary losses, which transformers adds only where
    `output_router_logits` asks for them."""
    return MoE(
        experts=settings("num_local_experts") or settings.whole("num_experts"),
        top_k=settings.whole("num_experts_per_tok"),
        expert=expert,
        capacity_factor=None,
        eval_capacity_factor=None,
        balance_loss=0.0,
        z_loss=0.0,
        **parts,
    )


def write(config: DecoderConfig, position: Any = None) -> dict[str, Any]:
    """The shared settings of a config, without those of its feed-forward layer; `position` where layers have others."""
    return {
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_size": config.width,
        "max_position_embeddings": config.context,
        "vocab_size": config.vocab_size,
        "num_key_value_heads": config.resolved_kv_heads,
        "head_dim": config.resolved_head_dim,
        **write_rope(position or config.position),
        "rms_norm_eps": config.norm.epsilon,
        "tie_word_embeddings": config.tied_head,
        "initializer_range": config.init_std,
    }


def write_gated(config: DecoderConfig, activation: str = "hidden_act") -> dict[str, Any]:
    """Width and activation of the gated layer, which is the same in every layer."""
    mlp = need(config.mlp, GatedMLP, "mlp")
    return {"intermediate_size": mlp.hidden, activation: activation_name(mlp.activation)}


def write_mixture(config: DecoderConfig, experts: str = "num_local_experts") -> tuple[dict[str, Any], GatedMLP]:
    """The settings of a mixture that is the same in every layer, and its expert."""
    mixture = need(config.mlp, MoE, "mlp")
    expert = need(mixture.expert, GatedMLP, "mlp.expert")
    return {experts: mixture.experts, "num_experts_per_tok": mixture.top_k}, expert


def parameters(config: DecoderConfig, experts: Table | None = None, norm_ops: str = "") -> Table:
    """Where the weights stand; `experts` is the table of a mixture, `norm_ops` what becomes of a stored norm."""
    dense, mixed = layer_kinds(config)
    attention_biases = when(config.qkv_bias, biases(QKV)), when(config.out_bias, biases(OUT))
    sinks = any(config.attention_of(layer).sink is not None for layer in range(config.layers))
    block = {
        **kernels({**QKV, **OUT}),
        **attention_biases[0],
        **attention_biases[1],
        **when(config.qk_norm is not None, scales(QK_NORM, norm_ops)),
        **when(sinks, {"attention.sink": "self_attn.sinks"}),
        **when(dense, kernels(GATED)),
        **when(dense and config.bias, biases(GATED)),
        **when(mixed, experts or {}),
        **scales(NORMS[config.branch_norm], norm_ops),
    }
    return {
        "token_embed.embedding": "model.embed_tokens.weight",
        **under(BLOCK, LAYER, block),
        **scales(FINAL_NORM, norm_ops),
        **when(not config.tied_head, {"head.kernel": "lm_head.weight : T"}),
    }


def taps(config: DecoderConfig, router: Table = ROUTER, qk_norm: Table = QK_NORM) -> Table:
    """The modules that a config has. Gemma's embedding returns its rows times the scale, ours the rows."""
    dense, mixed = layer_kinds(config)
    block = {
        **NORMS[config.branch_norm],
        **when(config.qk_norm is not None, qk_norm),
        **when(mixed, router),
        **when(dense, {"mlp.down": GATED["mlp.down"]}),
        **OUT,
        "attention": "self_attn",
        "mlp": "mlp",
    }
    return {
        **when(config.embed_scale is None, {"token_embed": "model.embed_tokens"}),
        **under(BLOCK, LAYER, block),
        "blocks.{i}": "model.layers.{i}",
        **FINAL_NORM,
    }


def layer_kinds(config: DecoderConfig) -> tuple[bool, bool]:
    """Whether there are dense feed-forward layers, and whether there are mixtures."""
    kinds = {isinstance(config.mlp_of(layer), MoE) for layer in range(config.layers)}
    return False in kinds, True in kinds
