"""OLMo (Groeneveld et al. 2024): Llama whose norms have no parameters, and queries, keys and values a bound."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.weights.huggingface import layer_norm_like, layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig, need
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings

EPSILON = 1e-5  # in transformers a constant


def read(settings: HFSettings) -> DecoderConfig:
    return llama_like.read(settings, norm=LayerNorm(EPSILON, scale=False), qkv_clip=settings("clip_qkv"))


def write(config: DecoderConfig) -> dict[str, Any]:
    need(config.norm, LayerNorm, "norm")
    written = layer_norm_like.write(config)
    del written["layer_norm_eps"]
    biases = {"attention_bias": config.out_bias}
    return {**written, **llama_like.write_gated(config), **biases, "clip_qkv": config.qkv_clip}


OLMO = Family(
    model_type="olmo",
    architecture="OlmoForCausalLM",
    summary="as `llama`, with `LayerNorm(scale=False)` without bias, `qkv_clip` (`clip_qkv`)",
    read=read,
    write=write,
    parameters=layer_norm_like.parameters,
    taps=layer_norm_like.taps,
    defaults={name: value for name, value in layer_norm_like.DEFAULTS.items() if name != "layer_norm_eps"},
    tiny={
        "olmo": TinyConfig("norms without parameters", TINY),
        "olmo-clipped": TinyConfig(
            "clipped queries, keys and values, tied head",
            {**TINY, "clip_qkv": 0.5, "attention_bias": True, "tie_word_embeddings": True},
        ),
    },
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
