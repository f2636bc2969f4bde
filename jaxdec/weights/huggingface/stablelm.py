"""StableLM (Stability AI 2023): Llama with layer norms and rotary positions of a part of a head."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.weights.huggingface import layer_norm_like, layers, llama_like, partial_rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings


def read(settings: HFSettings) -> DecoderConfig:
    settings.only(qk_layernorm=False)
    return llama_like.read(
        settings,
        head_dim=None,
        position=partial_rotary.read_partial(settings, layer_norm_like.head_dim(settings)),
        norm=LayerNorm(settings.number("layer_norm_eps"), bias=True),
        residual="parallel_one_norm" if settings("use_parallel_residual") else "sequential",
        attention_bias="qkv" if settings("use_qkv_bias") else False,
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    written = layer_norm_like.write(config)
    del written["head_dim"]
    return {
        **written,
        **llama_like.write_gated(config),
        **partial_rotary.write_partial(config),
        "use_parallel_residual": layer_norm_like.one_norm(config),
        "use_qkv_bias": config.qkv_bias,
    }


STABLELM = Family(
    model_type="stablelm",
    architecture="StableLmForCausalLM",
    summary='as `llama`, with `LayerNorm(bias=True)`, `RoPE(channels=...)`, `residual="parallel_one_norm"` '
    '(`use_parallel_residual`), `attention_bias="qkv"` (`use_qkv_bias`)',
    read=read,
    write=write,
    parameters=layer_norm_like.parameters,
    taps=layer_norm_like.taps,
    defaults={
        **layer_norm_like.DEFAULTS,
        "num_key_value_heads": 32,
        "partial_rotary_factor": 0.25,
        "use_parallel_residual": False,
        "use_qkv_bias": False,
    },
    tiny={
        "stablelm": TinyConfig("norms with biases, a quarter of the channels turns", TINY),
        "stablelm-parallel": TinyConfig(
            "one norm for both branches, biases of query, key, value",
            {**TINY, "use_parallel_residual": True, "use_qkv_bias": True, "partial_rotary_factor": 0.5},
        ),
    },
    refused=(*partial_rotary.REFUSED, Refused("qk_layernorm", True, "norms of queries and keys are RMS norms")),
    ignored=layers.IGNORED,
)
