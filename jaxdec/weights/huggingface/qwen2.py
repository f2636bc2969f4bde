"""Qwen 2 (Yang et al. 2024): Llama with biases of query, key and value, and windows in the later layers."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings

DEFAULTS = {
    **llama_like.DEFAULTS,
    "num_key_value_heads": 32,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
}


def read(settings: HFSettings, **parts: Any) -> DecoderConfig:
    """Windows, where they are used, from layer `max_window_layers` on or as `layer_types` says; `parts` win."""
    if not settings("use_sliding_window"):
        settings = settings.but(sliding_window=None)
    window, first = settings("sliding_window"), settings("max_window_layers")
    local = [window is not None and layer >= first for layer in range(settings.whole("num_hidden_layers"))]
    own = {"attention": layers.windows_by_type(settings, local), "attention_bias": "qkv"}
    return llama_like.read(settings, **{**own, **parts})


def write_windows(config: DecoderConfig) -> dict[str, Any]:
    """The window of the layers that have one, and whether any has."""
    windows = layers.write_types(config)
    return {**windows, "use_sliding_window": windows["sliding_window"] is not None}


def write(config: DecoderConfig) -> dict[str, Any]:
    return {**llama_like.write(config), **llama_like.write_gated(config), **write_windows(config)}


QWEN2 = Family(
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    summary='as `llama`, with `attention_bias="qkv"`; windows from layer `max_window_layers` on, or as '
    "`layer_types` says",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=llama_like.taps,
    defaults=DEFAULTS,
    tiny={
        "qwen2": TinyConfig(
            "biases of query, key, value; a window in the last layer",
            {**TINY, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
        )
    },
    refused=(*rotary.REFUSED, *layers.REFUSED),
)
