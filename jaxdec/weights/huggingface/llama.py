"""Llama (Touvron et al. 2023; Dubey et al. 2024), and models of the same form."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import RAMP, TINY, tiny_rope
from jaxdec.weights.huggingface.settings import HFSettings


def read(settings: HFSettings) -> DecoderConfig:
    return llama_like.read(settings, bias=settings("mlp_bias"))


def write(config: DecoderConfig) -> dict[str, Any]:
    biases = {"mlp_bias": config.bias, "attention_bias": config.out_bias}
    return {**llama_like.write(config), **llama_like.write_gated(config), **biases}


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}

LLAMA = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    summary="`RoPE`, `RMSNorm`, `GatedMLP`; `attention_bias`, `mlp_bias`, `head_dim`, tied or not; rotary scaling "
    "`linear`, `llama3`, `yarn`",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=llama_like.taps,
    defaults={**llama_like.DEFAULTS, "mlp_bias": False},
    tiny={
        "llama": TinyConfig("grouped queries, rotary positions, gates", TINY),
        "llama-linear": TinyConfig("linear scaling", {**TINY, **tiny_rope("linear", factor=3.0)}),
        "llama-llama3": TinyConfig("Llama 3's scaling", {**TINY, **tiny_rope("llama3", **LLAMA3)}),
        "llama-yarn": TinyConfig("YaRN", {**TINY, **tiny_rope("yarn", **RAMP)}),
        "llama-tied": TinyConfig("tied head", {**TINY, "tie_word_embeddings": True}),
        "llama-biased": TinyConfig("all biases", {**TINY, "attention_bias": True, "mlp_bias": True}),
        "llama-attention-bias": TinyConfig("attention's biases alone", {**TINY, "attention_bias": True}),
        "llama-wide-heads": TinyConfig("heads wider than width / heads", {**TINY, "head_dim": 24}),
    },
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
