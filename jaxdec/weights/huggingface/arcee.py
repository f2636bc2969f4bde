"""Arcee's foundation models (2025): Llama with a plain layer of squared ReLU in place of the gated one."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig, need
from jaxdec.weights.huggingface.llama_like import RAMP, TINY, tiny_rope
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table


def read(settings: HFSettings) -> DecoderConfig:
    mlp = MLP(hidden=settings.whole("intermediate_size"), activation=settings.activation("hidden_act"))
    return llama_like.read(settings, mlp=mlp, bias=settings("mlp_bias"))


def write(config: DecoderConfig) -> dict[str, Any]:
    mlp = need(config.mlp, MLP, "mlp")
    return {
        **llama_like.write(config),
        "intermediate_size": mlp.resolved_hidden(config.width),
        "hidden_act": activation_name(mlp.activation),
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
