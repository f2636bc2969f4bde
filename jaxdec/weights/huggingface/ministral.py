"""Ministral (Mistral AI 2024): Mistral with windows in some layers, as `layer_types` says."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, mistral, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings


def read(settings: HFSettings) -> DecoderConfig:
    """Without `layer_types` all layers have the window, if there is one."""
    local = [bool(settings("sliding_window"))] * settings.whole("num_hidden_layers")
    return llama_like.read(settings, attention=layers.windows_by_type(settings, local), attention_bias=False)


def write(config: DecoderConfig) -> dict[str, Any]:
    return {**llama_like.write(config), **llama_like.write_gated(config), **layers.write_types(config)}


MINISTRAL = Family(
    model_type="ministral",
    architecture="MinistralForCausalLM",
    summary="as `mistral`, with the window where `layer_types` says so",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=llama_like.taps,
    defaults={**mistral.DEFAULTS, "sliding_window": 4096},
    tiny={
        "ministral": TinyConfig(
            "a window in the first layer",
            {**TINY, "head_dim": 16, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
        )
    },
    refused=(*rotary.REFUSED, *layers.REFUSED),
)
