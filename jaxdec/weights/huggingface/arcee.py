"""Arcee's foundation models (2025): Llama with a plain layer of squared ReLU in place of the gated one."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import RAMP, TINY, tiny_rope
from jaxdec.weights.huggingface.plain_mlp import read_plain_mlp, write_plain_mlp
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table


def read(settings: HFSettings) -> DecoderConfig:
    mlp = read_plain_mlp(settings)
    return llama_like.read(settings, mlp=mlp, bias=settings("mlp_bias"))


def write(config: DecoderConfig) -> dict[str, Any]:
    return {
        **llama_like.write(config),
        **write_plain_mlp(config),
        "mlp_bias": config.bias,
        "attention_bias": config.out_bias,
    }


def parameters(config: DecoderConfig) -> Table:
    return {ours: theirs for ours, theirs in llama_like.parameters(config).items() if ".mlp.gate." not in ours}


ARCEE = Family(
    model_type="arcee",
    architecture="ArceeForCausalLM",
    summary="as `llama`, with a plain `MLP` of any width, with squared ReLU or another activation",
    read=read,
    write=write,
    parameters=parameters,
    taps=llama_like.taps,
    defaults={**llama_like.DEFAULTS, "rms_norm_eps": 1e-5, "hidden_act": "relu2", "mlp_bias": False},
    tiny={"arcee": TinyConfig("squared ReLU, YaRN", {**TINY, **tiny_rope("yarn", **RAMP)})},
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
