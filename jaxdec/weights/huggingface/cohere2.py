"""Cohere's Command R7B (2024): as Command R, with windows in most layers, and no positions in the others."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.config.positions import NoPosition, RoPE
from jaxdec.weights.huggingface import cohere, layer_norm_like, layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings

HEADS = "a head has hidden_size / num_attention_heads channels"


def read(settings: HFSettings) -> DecoderConfig:
    if settings("head_dim") not in (None, layer_norm_like.head_dim(settings)):
        raise settings.unsupported("head_dim", settings("head_dim"), HEADS)
    every = range(settings.whole("num_hidden_layers"))
    default = [(layer + 1) % settings.whole("sliding_window_pattern") != 0 for layer in every]
    local, rope = layers.local_by_type(settings, default), rotary.read_rope(settings)
    return llama_like.read(
        settings,
        position=layers.shortest([rope if each else NoPosition() for each in local]),
        norm=LayerNorm(settings.number("layer_norm_eps")),
        residual="parallel_one_norm",
        attention=layers.windows(settings, local),
        logit_scale=settings.number("logit_scale"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    places = [config.position_of(layer) for layer in range(config.layers)]
    rope = next((each for each in places if isinstance(each, RoPE)), RoPE())
    return {
        **layer_norm_like.write(config, position=rope),
        **llama_like.write_gated(config),
        **layers.write_types(config),
        "logit_scale": 1.0 if config.logit_scale is None else config.logit_scale,
        "attention_bias": config.out_bias,
    }


COHERE2 = Family(
    model_type="cohere2",
    architecture="Cohere2ForCausalLM",
    summary="as `cohere`, with three of four layers local, or as `layer_types` says, and `NoPosition` in the others",
    read=read,
    write=write,
    parameters=cohere.parameters,
    taps=layer_norm_like.taps,
    defaults={**cohere.COHERE.defaults, "rope_theta": 10_000.0, "sliding_window": 4096, "sliding_window_pattern": 4},
    tiny={
        "cohere2": TinyConfig(
            "a window in the first layer, no positions in the second",
            {**TINY, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
        )
    },
    refused=(*rotary.REFUSED, *layers.REFUSED, layers.NO_WINDOW, Refused("head_dim", 24, HEADS)),
)
