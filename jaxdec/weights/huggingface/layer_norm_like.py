"""What the families with rotary positions and layer norms share: config, weights, taps. Modules have Llama's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.weights.huggingface import llama_like
from jaxdec.weights.huggingface.family import need
from jaxdec.weights.huggingface.llama_like import BLOCK, FINAL_NORM, GATED, LAYER, OUT, QKV
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table, biases, kernels, scales, under, when

DEFAULTS: Mapping[str, Any] = {
    **{name: value for name, value in llama_like.DEFAULTS.items() if name != "rms_norm_eps"},
    "layer_norm_eps": 1e-5,
}
LINEARS: Table = {**QKV, **OUT, **GATED}
NORMS: Table = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}


def write(config: DecoderConfig, epsilon: str = "layer_norm_eps", position: Any = None) -> dict[str, Any]:
    """The shared settings, without those of the feed-forward layer; `epsilon` is what the family calls the norm's,
    `position` is written where layers have others."""
    written = llama_like.write(config, position)
    del written["rms_norm_eps"]
    return {**written, epsilon: need(config.norm, LayerNorm, "norm").epsilon}


def head_dim(settings: HFSettings) -> int:
    """The size of a head of a family that has no setting for it."""
    return settings.whole("hidden_size") // settings.whole("num_attention_heads")


def norms(config: DecoderConfig, modules: Table, ops: str = "") -> Table:
    """The parameters that the norms of these modules have; `ops` is what becomes of a stored scale."""
    norm = need(config.norm, LayerNorm, "norm")
    biased = config.bias if norm.bias is None else norm.bias
    return {**when(norm.scale, scales(modules, ops)), **when(biased, biases(modules))}


def block_norms(config: DecoderConfig, modules: Table = NORMS) -> Table:
    """Those modules of the two norms that a block has: with one norm for both branches, the first."""
    return {ours: theirs for ours, theirs in modules.items() if ours != "mlp_norm" or not one_norm(config)}


def one_norm(config: DecoderConfig) -> bool:
    return config.residual == "parallel_one_norm"


def linears(config: DecoderConfig, modules: Table) -> Table:
    """The parameters of projections: those of query, key and value, of attention's way out, and of the feed-forward
    layer have biases or not, each by the config."""
    biased = {"attention.out": config.out_bias, **dict.fromkeys(QKV, config.qkv_bias)}
    return {
        **kernels(modules),
        **biases({ours: theirs for ours, theirs in modules.items() if biased.get(ours, config.bias)}),
    }


def parameters(config: DecoderConfig, modules: Table = LINEARS, final: Table = FINAL_NORM, norm_ops: str = "") -> Table:
    """Where the weights stand; `modules` are the projections of a block, `norm_ops` what becomes of a norm's scale."""
    return {
        "token_embed.embedding": "model.embed_tokens.weight",
        **under(BLOCK, LAYER, {**linears(config, modules), **norms(config, block_norms(config), norm_ops)}),
        **norms(config, final, norm_ops),
        **head(config),
    }


def head(config: DecoderConfig) -> Table:
    """The parameters of a head of its own."""
    return {
        **when(not config.tied_head, {"head.kernel": "lm_head.weight : T"}),
        **when(config.head_bias, {"head.bias": "lm_head.bias"}),
    }


def taps(config: DecoderConfig, modules: Table = LINEARS, final: Table = FINAL_NORM) -> Table:
    """The modules that a config has, and that are no part of a joint product on our side."""
    joint = {*QKV, *(("mlp.gate", "mlp.up") if "mlp.gate" in modules else ())}
    tapped = {ours: theirs for ours, theirs in modules.items() if ours not in joint}
    block = {**block_norms(config), **tapped, "attention": "self_attn", "mlp": "mlp"}
    return {
        "token_embed": "model.embed_tokens",
        **under(BLOCK, LAYER, block),
        "blocks.{i}": "model.layers.{i}",
        **final,
    }
