"""Cohere's Command R (2024): branches in parallel behind one norm without bias, scaled logits, neighbours that turn."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.weights.huggingface import layer_norm_like, layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.neighbours import interleaved
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table


def read(settings: HFSettings) -> DecoderConfig:
    settings.only(use_qk_norm=False)
    return llama_like.read(
        settings,
        norm=LayerNorm(settings.number("layer_norm_eps")),
        residual="parallel_one_norm",
        logit_scale=settings.number("logit_scale"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    return {
        **layer_norm_like.write(config),
        **llama_like.write_gated(config),
        "logit_scale": 1.0 if config.logit_scale is None else config.logit_scale,
        "attention_bias": config.out_bias,
    }


def parameters(config: DecoderConfig) -> Table:
    """Neighbouring channels turn together there, and channels half a head apart here."""
    return interleaved(config, layer_norm_like.parameters(config))


COHERE = Family(
    model_type="cohere",
    architecture="CohereForCausalLM",
    summary='as `llama`, with `residual="parallel_one_norm"`, `LayerNorm` without bias, `logit_scale`; rotary pairs '
    "are neighbours there, which the weights' rules put right",
    read=read,
    write=write,
    parameters=parameters,
    taps=layer_norm_like.taps,
    defaults={
        **layer_norm_like.DEFAULTS,
        "rope_theta": 500_000.0,
        "logit_scale": 0.0625,
        "tie_word_embeddings": True,
    },
    tiny={
        "cohere": TinyConfig("one norm for both branches, neighbours turn, scaled logits", TINY),
        "cohere-biased": TinyConfig(
            "attention's biases, an untied head, wide heads",
            {**TINY, "attention_bias": True, "tie_word_embeddings": False, "head_dim": 12, "logit_scale": 0.5},
        ),
    },
    refused=(*rotary.REFUSED, Refused("use_qk_norm", True, "norms of queries and keys are RMS norms")),
    ignored=layers.IGNORED,
)
