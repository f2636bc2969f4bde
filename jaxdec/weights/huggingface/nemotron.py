"""Nemotron (Parmar et al. 2024): layer norms stored as a distance from one, squared ReLU, half of a head turns."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.weights.huggingface import layer_norm_like, layers, llama_like, partial_rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import OUT, QKV, TINY
from jaxdec.weights.huggingface.plain_mlp import read_plain_mlp, write_plain_mlp
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table

LINEARS: Table = {**QKV, **OUT, "mlp.up": "mlp.up_proj", "mlp.down": "mlp.down_proj"}


def read(settings: HFSettings) -> DecoderConfig:
    size = settings("head_dim") or layer_norm_like.head_dim(settings)
    return llama_like.read(
        settings,
        position=partial_rotary.read_partial(settings, size),
        norm=LayerNorm(settings.number("norm_eps"), bias=True),
        mlp=read_plain_mlp(settings),
        bias=settings("mlp_bias"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    return {
        **layer_norm_like.write(config, "norm_eps"),
        **partial_rotary.write_partial(config),
        **write_plain_mlp(config),
        "mlp_bias": config.bias,
        "attention_bias": config.out_bias,
    }


def parameters(config: DecoderConfig) -> Table:
    """A norm's scale is stored as its distance from one."""
    return layer_norm_like.parameters(config, LINEARS, norm_ops=" : plus(1)")


def taps(config: DecoderConfig) -> Table:
    return layer_norm_like.taps(config, LINEARS)


NEMOTRON = Family(
    model_type="nemotron",
    architecture="NemotronForCausalLM",
    summary="as `llama`, with `LayerNorm(bias=True)` and scales plus one, `RoPE(channels=...)`, a plain MLP with "
    "`relu_squared`; `attention_bias`, `mlp_bias`",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    defaults={
        **{name: value for name, value in layer_norm_like.DEFAULTS.items() if name != "layer_norm_eps"},
        "hidden_act": "relu2",
        "norm_eps": 1e-5,
        "initializer_range": 0.0134,
        "partial_rotary_factor": 0.5,
        "mlp_bias": False,
    },
    tiny={
        "nemotron": TinyConfig("squared ReLU, norms stored as a distance from one", TINY),
        "nemotron-biased": TinyConfig(
            "all biases, wide heads, tied head",
            {**TINY, "head_dim": 12, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        ),
    },
    refused=partial_rotary.REFUSED,
    ignored=layers.IGNORED,
)
