"""StarCoder 2 (Lozhkov et al. 2024): rotary positions, layer norms, a plain MLP, biases, a sliding window."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.weights.huggingface import layer_norm_like, layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import OUT, QKV, TINY
from jaxdec.weights.huggingface.plain_mlp import read_plain_mlp, write_plain_mlp
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table

LINEARS: Table = {**QKV, **OUT, "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}


def read(settings: HFSettings) -> DecoderConfig:
    biased = settings("use_bias")
    return llama_like.read(
        settings,
        norm=LayerNorm(settings.number("norm_epsilon"), bias=True),
        attention=layers.windows(settings, [True] * settings.whole("num_hidden_layers")),
        mlp=read_plain_mlp(settings),
        bias=biased,
        attention_bias=biased,
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    return {
        **layer_norm_like.write(config, "norm_epsilon"),
        **layers.write_window(config),
        **write_plain_mlp(config),
        "use_bias": config.bias,
    }


def parameters(config: DecoderConfig) -> Table:
    return layer_norm_like.parameters(config, LINEARS)


def taps(config: DecoderConfig) -> Table:
    return layer_norm_like.taps(config, LINEARS)


STARCODER2 = Family(
    model_type="starcoder2",
    architecture="Starcoder2ForCausalLM",
    summary="as `mistral`, with `LayerNorm(bias=True)` and a plain MLP with tanh GELU; all biases, or with `use_bias` "
    "off those of norms alone",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    defaults={
        **{name: value for name, value in layer_norm_like.DEFAULTS.items() if name != "layer_norm_eps"},
        "num_key_value_heads": 2,
        "hidden_act": "gelu_pytorch_tanh",
        "norm_epsilon": 1e-5,
        "initializer_range": 0.018042,
        "use_bias": True,
        "tie_word_embeddings": True,
    },
    tiny={
        "starcoder2": TinyConfig("layer norms, a plain MLP, a window", {**TINY, "sliding_window": 5}),
        "starcoder2-unbiased": TinyConfig(
            "biases of norms alone, an untied head", {**TINY, "use_bias": False, "tie_word_embeddings": False}
        ),
    },
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
