"""Qwen 3 (Yang et al. 2025): Qwen 2 with norms of queries and keys in place of biases."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, qwen2, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings


def read(settings: HFSettings) -> DecoderConfig:
    norm = llama_like.read_norm(settings)
    return qwen2.read(settings, qk_norm=norm, attention_bias=settings("attention_bias"))


def write(config: DecoderConfig) -> dict[str, Any]:
    return {**qwen2.write(config), "attention_bias": config.out_bias}


QWEN3 = Family(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    summary="as `qwen2`, with `qk_norm` of each head, and `attention_bias` as it says",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=llama_like.taps,
    defaults={**qwen2.DEFAULTS, "head_dim": 128},
    tiny={"qwen3": TinyConfig("norms of queries and keys by head", {**TINY, "head_dim": 16})},
    refused=(*rotary.REFUSED, *layers.REFUSED),
)
