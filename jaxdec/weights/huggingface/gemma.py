"""Gemma (Gemma Team 2024): Llama with scaled embeddings, a GELU gate, and norms stored as distances from one."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table

STORED = " : plus(1)"  # what makes a scale of a stored norm
NOT_CAUSAL = Refused("use_bidirectional_attention", True, "a decoder sees the past")


def read(settings: HFSettings) -> DecoderConfig:
    """The first files say "gelu" where they mean the form with tanh, and transformers reads it so."""
    settings.only(use_bidirectional_attention=False)
    if settings("hidden_act") == "gelu":
        settings = settings.but(hidden_act="gelu_pytorch_tanh")
    return llama_like.read(settings, embed_scale=settings.whole("hidden_size") ** 0.5)


def write(config: DecoderConfig) -> dict[str, Any]:
    return {**llama_like.write(config), **llama_like.write_gated(config), "attention_bias": config.out_bias}


def parameters(config: DecoderConfig) -> Table:
    """A norm is stored as its scale's distance from one."""
    return llama_like.parameters(config, norm_ops=STORED)


GEMMA = Family(
    model_type="gemma",
    architecture="GemmaForCausalLM",
    summary="as `llama`, with `embed_scale`, norms whose scales are stored less one, a GELU gate",
    read=read,
    write=write,
    parameters=parameters,
    taps=llama_like.taps,
    defaults={
        **llama_like.DEFAULTS,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
    },
    tiny={
        "gemma": TinyConfig("one key for all heads, norms less one", {**TINY, "head_dim": 16, "num_key_value_heads": 1})
    },
    refused=(*rotary.REFUSED, NOT_CAUSAL),
    ignored=layers.IGNORED,
)
