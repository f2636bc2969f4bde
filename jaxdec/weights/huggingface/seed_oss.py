"""Seed-OSS (ByteDance 2025): Llama whose biases of query, key and value are a choice of their own."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings


def read(settings: HFSettings) -> DecoderConfig:
    biases = bool(settings("attention_bias")), bool(settings("attention_out_bias"))
    attention_bias = {(True, True): True, (True, False): "qkv", (False, True): "out", (False, False): False}[biases]
    return llama_like.read(settings, attention_bias=attention_bias, bias=settings("mlp_bias"))


def write(config: DecoderConfig) -> dict[str, Any]:
    biases = {"attention_bias": config.qkv_bias, "attention_out_bias": config.out_bias, "mlp_bias": config.bias}
    return {**llama_like.write(config), **llama_like.write_gated(config), **biases}


SEED_OSS = Family(
    model_type="seed_oss",
    architecture="SeedOssForCausalLM",
    summary="as `llama`, with biases of query, key and value (`attention_bias`), of the output (`attention_out_bias`), "
    "of both or none",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=llama_like.taps,
    defaults={
        **llama_like.DEFAULTS,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "attention_bias": True,
        "attention_out_bias": False,
        "mlp_bias": False,
    },
    tiny={"seed-oss": TinyConfig("biases of query, key, value; wide heads", {**TINY, "head_dim": 16})},
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
