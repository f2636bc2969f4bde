"""FlexOlmo (Shi et al. 2025): OLMo 2 whose feed-forward layers are OLMoE's mixtures."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, mixtures, olmoe, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.settings import HFSettings


def read(settings: HFSettings) -> DecoderConfig:
    return llama_like.read(
        settings,
        branch_norm="post",
        qk_norm=llama_like.read_norm(settings),
        qk_norm_over="all",
        mlp=olmoe.read_mixture(settings),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    return {**llama_like.write(config), **olmoe.write_mixture(config), "attention_bias": config.out_bias}


FLEX_OLMO = Family(
    model_type="flex_olmo",
    architecture="FlexOlmoForCausalLM",
    summary="as `olmo2`, with `MoE` as in `olmoe`",
    read=read,
    write=write,
    parameters=olmoe.parameters,
    taps=llama_like.taps,
    files=mixtures.files,
    defaults={
        **llama_like.DEFAULTS,
        "rope_theta": 500_000.0,
        "num_experts": 7,
        "num_experts_per_tok": 5,
        "norm_topk_prob": False,
    },
    tiny={"flex-olmo": TinyConfig("experts, norms after branches", olmoe.TINY)},
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
