"""OLMo 3 (OLMo Team 2025): OLMo 2 with windows in three of four layers, and a longer reach of the others by YaRN."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import RoPE
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import RAMP, TINY
from jaxdec.weights.huggingface.settings import HFSettings

THETA = 500_000.0


def read(settings: HFSettings) -> DecoderConfig:
    """Raises UserError for an older file with another base, which versions of transformers read in different ways: in
    local layers too, or in full ones alone."""
    given = settings("rope_parameters") or {}
    if settings("rope_theta") != THETA and not given.get(rotary.LOCAL):
        raise settings.unsupported("rope_theta", settings("rope_theta"), "give rope_parameters by kind of layer")
    local = [(layer + 1) % 4 != 0 for layer in range(settings.whole("num_hidden_layers"))]
    local = layers.local_by_type(settings, local)
    return llama_like.read(
        settings,
        position=rotary.read_by_type(settings, local, local_theta=THETA),
        attention=layers.windows(settings, local),
        branch_norm="post",
        qk_norm=llama_like.read_norm(settings),
        qk_norm_over="all",
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    full, local = rotary.positions_by_type(config, full=RoPE(THETA), local=RoPE(THETA))
    return {
        **llama_like.write(config, full),
        **rotary.write_by_type(full, local),
        **llama_like.write_gated(config),
        **layers.write_types(config),
        "attention_bias": config.out_bias,
    }


OLMO3 = Family(
    model_type="olmo3",
    architecture="Olmo3ForCausalLM",
    summary="as `olmo2`, with three local layers to a full one or as `layer_types` says, and `RoPE` by kind of layer",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=llama_like.taps,
    defaults={**llama_like.DEFAULTS, "rms_norm_eps": 1e-5, "rope_theta": THETA, "sliding_window": 4096},
    tiny={
        "olmo3": TinyConfig(
            "YaRN in the full layer alone",
            {
                **TINY,
                "sliding_window": 5,
                "layer_types": ["sliding_attention", "full_attention"],
                "rope_parameters": {
                    rotary.FULL: {"rope_type": "yarn", "rope_theta": 1000.0, **RAMP},
                    rotary.LOCAL: {"rope_type": "default", "rope_theta": 100.0},
                },
            },
        ),
        "olmo3-four-layers": TinyConfig(
            "three local layers to a full one", {**TINY, "num_hidden_layers": 4, "sliding_window": 5}
        ),
    },
    refused=(
        *rotary.REFUSED_BY_TYPE,
        *layers.REFUSED,
        layers.NO_WINDOW,
    ),
)
