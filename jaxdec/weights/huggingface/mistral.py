"""Mistral (Jiang et al. 2023): Llama with one sliding window for all layers."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings

DEFAULTS = {**llama_like.DEFAULTS, "num_key_value_heads": 8}


def read(settings: HFSettings, **parts: Any) -> DecoderConfig:
    """`parts` replace some of it."""
    attention = layers.windows(settings, [True] * settings.whole("num_hidden_layers"))
    return llama_like.read(settings, attention=attention, attention_bias=False, **parts)


def write(config: DecoderConfig) -> dict[str, Any]:
    return {**llama_like.write(config), **llama_like.write_gated(config), **layers.write_window(config)}


MISTRAL = Family(
    model_type="mistral",
    architecture="MistralForCausalLM",
    summary="as `llama`, with `Local(window=sliding_window)` in every layer",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=llama_like.taps,
    defaults={**DEFAULTS, "sliding_window": 4096},
    tiny={"mistral": TinyConfig("a window shorter than the text", {**TINY, "sliding_window": 5})},
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
