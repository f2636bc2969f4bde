"""Phi-1 and Phi-2 (Gunasekar et al. 2023): branches in parallel behind one norm, a plain MLP, biases everywhere."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.weights.huggingface import layer_norm_like, layers, llama_like, partial_rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig
from jaxdec.weights.huggingface.llama_like import QKV, TINY
from jaxdec.weights.huggingface.plain_mlp import read_plain_mlp, write_plain_mlp
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table

LINEARS: Table = {**QKV, "attention.out": "self_attn.dense", "mlp.up": "mlp.fc1", "mlp.down": "mlp.fc2"}
FINAL_NORM: Table = {"final_norm": "model.final_layernorm"}


def read(settings: HFSettings) -> DecoderConfig:
    settings.only(qk_layernorm=False, tie_word_embeddings=False)
    size = settings("head_dim") or layer_norm_like.head_dim(settings)
    return llama_like.read(
        settings,
        position=partial_rotary.read_partial(settings, size),
        norm=LayerNorm(settings.number("layer_norm_eps")),
        residual="parallel_one_norm",
        mlp=read_plain_mlp(settings),
        bias=True,
        attention_bias=True,
        head_bias=True,
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    return {
        **layer_norm_like.write(config),
        **partial_rotary.write_partial(config),
        **write_plain_mlp(config, "gelu_new"),
    }


def parameters(config: DecoderConfig) -> Table:
    return layer_norm_like.parameters(config, LINEARS, FINAL_NORM)


def taps(config: DecoderConfig) -> Table:
    return layer_norm_like.taps(config, LINEARS, FINAL_NORM)


PHI = Family(
    model_type="phi",
    architecture="PhiForCausalLM",
    summary='`residual="parallel_one_norm"`, `RoPE(channels=...)`, `LayerNorm`, a plain MLP, all biases, `head_bias`',
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    defaults={**layer_norm_like.DEFAULTS, "hidden_act": "gelu_new", "partial_rotary_factor": 0.5},
    tiny={"phi": TinyConfig("one norm for both branches, half of the channels turns, a bias of the head", TINY)},
    refused=(
        *partial_rotary.REFUSED,
        Refused("qk_layernorm", True, "norms of queries and keys are RMS norms"),
        Refused("tie_word_embeddings", True, "a tied head has no bias"),
    ),
    ignored=layers.IGNORED,
)
