"""OLMoE (Muennighoff et al. 2024): a mixture in every layer, norms over all channels of queries, and of keys."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MoE
from jaxdec.weights.huggingface import layers, llama_like, mixtures, rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig, need
from jaxdec.weights.huggingface.llama_like import TINY_MIXTURE
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table


def read(settings: HFSettings) -> DecoderConfig:
    width, heads = settings.whole("hidden_size"), settings.whole("num_attention_heads")
    settings.only(head_dim=width // heads)
    return llama_like.read(
        settings,
        qk_norm=llama_like.read_norm(settings),
        qk_norm_over="all",
        qkv_clip=settings("clip_qkv"),
        mlp=read_mixture(settings),
    )


def read_mixture(settings: HFSettings) -> MoE:
    return llama_like.read_mixture(settings, llama_like.read_gated(settings), gates=mixtures.read_gates(settings))


def write_mixture(config: DecoderConfig) -> dict[str, Any]:
    mixture, expert = llama_like.write_mixture(config, "num_experts")
    return {
        **mixture,
        "norm_topk_prob": need(config.mlp, MoE, "mlp").gates == "chosen",
        "intermediate_size": expert.hidden,
        "hidden_act": activation_name(expert.activation),
    }


def write(config: DecoderConfig) -> dict[str, Any]:
    return {
        **llama_like.write(config),
        **write_mixture(config),
        "attention_bias": config.out_bias,
        "clip_qkv": config.qkv_clip,
    }


def parameters(config: DecoderConfig) -> Table:
    return llama_like.parameters(config, llama_like.EXPERTS)


def taps(config: DecoderConfig) -> Table:
    """What its norms of queries and keys return is cut off in place, so that a tap would show what is left."""
    return llama_like.taps(config, qk_norm={} if config.qkv_clip else llama_like.QK_NORM)


TINY = {**TINY_MIXTURE, "num_experts": 4}

OLMOE = Family(
    model_type="olmoe",
    architecture="OlmoeForCausalLM",
    summary='as `llama`, with `qk_norm_over="all"` and `MoE` in every layer, whose `gates` are `"all"` or `"chosen"` '
    "(`norm_topk_prob`); `qkv_clip` (`clip_qkv`)",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    files=mixtures.files,
    defaults={
        **llama_like.DEFAULTS,
        "rms_norm_eps": 1e-5,
        "num_experts": 64,
        "num_experts_per_tok": 8,
        "norm_topk_prob": False,
    },
    tiny={
        "olmoe": TinyConfig("gates over all experts, norms over all heads", TINY),
        "olmoe-renormalised": TinyConfig(
            "gates over the chosen ones, biases, clipped queries, keys and values",
            {**TINY, "norm_topk_prob": True, "attention_bias": True, "clip_qkv": 0.5},
        ),
    },
    refused=(
        *rotary.REFUSED,
        Refused("head_dim", 24, "its norms of queries and keys have the width of the model"),
    ),
    ignored=layers.IGNORED,
)
