"""Gemma 2 (Gemma Team 2024): norms before and after each branch, capped scores and logits, windows in every second
layer."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import gemma, layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings


def read(settings: HFSettings, branch_norm: str = "both") -> DecoderConfig:
    settings.only(use_bidirectional_attention=False)
    local = [layer % 2 == 0 for layer in range(settings.whole("num_hidden_layers"))]
    return llama_like.read(
        settings,
        branch_norm=branch_norm,
        attention=layers.windows_by_type(settings, local, softcap=settings("attn_logit_softcapping")),
        score_scale=settings.positive("query_pre_attn_scalar") ** -0.5,
        mlp=llama_like.read_gated(settings, activation="hidden_activation"),
        embed_scale=settings.whole("hidden_size") ** 0.5,
        logit_softcap=settings("final_logit_softcapping"),
    )


def write(config: DecoderConfig, position: Any = None) -> dict[str, Any]:
    """`position` is that of a layer where not all have one."""
    scale = config.score_scale or config.resolved_head_dim**-0.5
    return {
        **llama_like.write(config, position),
        **llama_like.write_gated(config, "hidden_activation"),
        **layers.write_types(config),
        "attention_bias": config.out_bias,
        "query_pre_attn_scalar": round(scale**-2),
        "attn_logit_softcapping": config.attention_of(0).softcap,
        "final_logit_softcapping": config.logit_softcap,
    }


DEFAULTS = {
    **llama_like.DEFAULTS,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
}
TINY2 = {
    **TINY,
    "head_dim": 16,
    "query_pre_attn_scalar": 24,
    "sliding_window": 5,
    "attn_logit_softcapping": 4.0,
    "final_logit_softcapping": 6.0,
}

GEMMA2 = Family(
    model_type="gemma2",
    architecture="Gemma2ForCausalLM",
    summary='as `llama`, with `branch_norm="both"`, scales plus one, `embed_scale`, `score_scale`, soft caps, every '
    "second layer local or as `layer_types` says, a GELU gate",
    read=read,
    write=write,
    parameters=gemma.parameters,
    taps=llama_like.taps,
    defaults=DEFAULTS,
    tiny={"gemma2": TinyConfig("soft caps, scales, norms on both sides", TINY2)},
    refused=(
        *rotary.REFUSED,
        *layers.REFUSED,
        layers.NO_WINDOW,
        gemma.NOT_CAUSAL,
    ),
)
