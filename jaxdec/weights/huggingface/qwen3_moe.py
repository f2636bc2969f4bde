"""Qwen 3's mixtures (Yang et al. 2025): its attention, experts in some layers or all, one window for all layers."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, mixtures, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import EXPERTS, TINY_MIXTURE
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table


def read(settings: HFSettings) -> DecoderConfig:
    return llama_like.read(
        settings,
        qk_norm=llama_like.read_norm(settings),
        mlp=mixtures.read_layers(settings),
        attention=layers.windows(
            settings, [bool(settings("use_sliding_window"))] * settings.whole("num_hidden_layers")
        ),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    feed_forward, _ = mixtures.write_layers(config)
    window = layers.write_window(config)
    return {
        **llama_like.write(config),
        **window,
        **feed_forward,
        "use_sliding_window": window["sliding_window"] is not None,
        "attention_bias": config.out_bias,
    }


def parameters(config: DecoderConfig) -> Table:
    return llama_like.parameters(config, EXPERTS)


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
    files=mixtures.files,
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
