"""OLMo 2 (OLMo Team 2025): norms of what a branch returns, and of all channels of queries, and of keys, together."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings


def read(settings: HFSettings) -> DecoderConfig:
    norm = llama_like.read_norm(settings)
    return llama_like.read(settings, branch_norm="post", qk_norm=norm, qk_norm_over="all")


def write(config: DecoderConfig) -> dict[str, Any]:
    return {**llama_like.write(config), **llama_like.write_gated(config), "attention_bias": config.out_bias}


OLMO2 = Family(
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    summary='as `llama`, with `branch_norm="post"`, `qk_norm_over="all"`',
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=llama_like.taps,
    defaults={**llama_like.DEFAULTS, "rms_norm_eps": 1e-5},
    tiny={"olmo2": TinyConfig("norms after branches and over all heads", TINY)},
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
