"""Qwen 3's mixtures (Yang et al. 2025): its attention, experts in some layers or all, one window for all layers."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import GatedMLP, MoE
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig, need
from jaxdec.weights.huggingface.llama_like import BLOCK, EXPERTS, LAYER, TINY_MIXTURE
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, under

# Files hold each matrix of each expert by itself.
FILES = {
    "mlp.experts.gate": "mlp.experts.{e}.gate_proj.weight : T",
    "mlp.experts.up": "mlp.experts.{e}.up_proj.weight : T",
    "mlp.experts.down": "mlp.experts.{e}.down_proj.weight : T",
}


def read(settings: HFSettings) -> DecoderConfig:
    """Every `decoder_sparse_step`-th layer is a mixture, but for `mlp_only_layers`."""
    count, step = settings.whole("num_hidden_layers"), settings.whole("decoder_sparse_step")
    expert = llama_like.read_gated(settings, "moe_intermediate_size")
    gates = "chosen" if settings("norm_topk_prob") else "all"
    mixture = llama_like.read_mixture(settings, expert, gates=gates)
    mixed = [layer not in (settings("mlp_only_layers") or []) and (layer + 1) % step == 0 for layer in range(count)]
    return llama_like.read(
        settings,
        qk_norm=llama_like.read_norm(settings),
        mlp=layers.shortest([mixture if each else llama_like.read_gated(settings) for each in mixed]),
        attention=layers.windows(settings, [bool(settings("use_sliding_window"))] * count),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    kinds = {layer: config.mlp_of(layer) for layer in range(config.layers)}
    mixture = need(next((each for each in kinds.values() if isinstance(each, MoE)), config.mlp), MoE, "mlp")
    expert = need(mixture.expert, GatedMLP, "mlp.expert")
    dense = {layer: need(each, GatedMLP, "mlp") for layer, each in kinds.items() if not isinstance(each, MoE)}
    window = layers.write_window(config)
    return {
        **llama_like.write(config),
        **window,
        "use_sliding_window": window["sliding_window"] is not None,
        "attention_bias": config.out_bias,
        "num_experts": mixture.experts,
        "num_experts_per_tok": mixture.top_k,
        "norm_topk_prob": mixture.gates == "chosen",
        "moe_intermediate_size": expert.hidden,
        "intermediate_size": next((each.hidden for each in dense.values()), expert.hidden),
        "hidden_act": activation_name(expert.activation),
        "decoder_sparse_step": 1,
        "mlp_only_layers": list(dense),
    }


def parameters(config: DecoderConfig) -> Table:
    return llama_like.parameters(config, EXPERTS)


def files(config: DecoderConfig) -> Table:
    return under(BLOCK, LAYER, FILES)


TINY = {**TINY_MIXTURE, "num_experts": 4, "moe_intermediate_size": 24}

QWEN3_MOE = Family(
    model_type="qwen3_moe",
    architecture="Qwen3MoeForCausalLM",
    summary='as `qwen3`, with `MoE` whose `gates` are `"chosen"` or `"all"` (`norm_topk_prob`); dense layers by '
    "`decoder_sparse_step` and `mlp_only_layers`; one window for all layers, or none",
    read=read,
    write=write,
    parameters=parameters,
    taps=llama_like.taps,
    files=files,
    defaults={
        **llama_like.DEFAULTS,
        "num_key_value_heads": 4,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "norm_topk_prob": False,
    },
    tiny={
        "qwen3-moe": TinyConfig("gates over all experts", {**TINY, "norm_topk_prob": False}),
        "qwen3-moe-renormalised": TinyConfig(
            "gates over the chosen ones, a dense layer", {**TINY, "norm_topk_prob": True, "decoder_sparse_step": 2}
        ),
    },
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
