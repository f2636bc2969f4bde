"""Granite (IBM 2024): Llama with four multipliers, of embeddings, scores, branches and logits."""

from __future__ import annotations

import math
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table


def read(settings: HFSettings, **parts: Any) -> DecoderConfig:
    """`parts` are other fields of the config."""
    return llama_like.read(
        settings,
        embed_scale=settings.positive("embedding_multiplier"),
        score_scale=settings.positive("attention_multiplier"),
        residual_scale=settings.positive("residual_multiplier"),
        logit_scale=1 / settings.positive("logits_scaling"),
        **{"bias": settings("mlp_bias"), **parts},
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    return {**llama_like.write_gated(config), "mlp_bias": config.bias, **write_shared(config)}


def write_shared(config: DecoderConfig) -> dict[str, Any]:
    """All but the feed-forward layer."""
    return {
        **llama_like.write(config),
        "attention_bias": config.out_bias,
        "embedding_multiplier": config.embed_scale or 1.0,
        "attention_multiplier": config.score_scale or config.resolved_head_dim**-0.5,
        "residual_multiplier": config.residual_scale or 1.0,
        "logits_scaling": divisor(config.logit_scale or 1.0),
    }


def divisor(scale: float) -> float:
    """What logits are divided by: of the numbers about 1 / scale one whose inverse is the scale again, if any is."""
    near = 1 / scale
    about = (near, math.nextafter(near, 0), math.nextafter(near, math.inf))
    return next((each for each in about if 1 / each == scale), near)


def taps(config: DecoderConfig) -> Table:
    """The embeddings are multiplied outside of their module, as ours are."""
    return {"token_embed": "model.embed_tokens", **llama_like.taps(config)}


REFUSED = (*rotary.REFUSED, Refused("logits_scaling", 0, "it divides the logits"))
DEFAULTS = {
    **llama_like.DEFAULTS,
    "embedding_multiplier": 1.0,
    "attention_multiplier": 1.0,
    "residual_multiplier": 1.0,
    "logits_scaling": 1.0,
}
MULTIPLIERS = {
    "embedding_multiplier": 12.0,
    "attention_multiplier": 0.3,
    "residual_multiplier": 0.22,
    "logits_scaling": 6.0,
}

GRANITE = Family(
    model_type="granite",
    architecture="GraniteForCausalLM",
    summary="as `llama`, with `embed_scale`, `score_scale`, `residual_scale` and `logit_scale`",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=taps,
    defaults={**DEFAULTS, "mlp_bias": False},
    tiny={
        "granite": TinyConfig("four multipliers", {**TINY, **MULTIPLIERS}),
        "granite-biased": TinyConfig(
            "all biases, multipliers left out", {**TINY, "attention_bias": True, "mlp_bias": True}
        ),
    },
    refused=REFUSED,
    ignored=layers.IGNORED,
)
