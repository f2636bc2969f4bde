"""GPT-BigCode (Allal et al. 2023): GPT-2 whose heads share one key and one value (Shazeer 2019)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import gpt2
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table, kernels


def read(settings: HFSettings) -> DecoderConfig:
    config = gpt2.read(settings)
    return replace(config, kv_heads=1) if settings("multi_query") else config


def write(config: DecoderConfig) -> dict[str, Any]:
    return {**gpt2.write(config, usual="gelu_pytorch_tanh"), "multi_query": config.resolved_kv_heads < config.heads}


def parameters(config: DecoderConfig) -> Table:
    """torch's Linear in place of Conv1D. One tensor holds all queries, then the one key and the one value; or, with as
    many keys as queries, query, key and value of the first head, then of the second."""
    keys = config.resolved_kv_heads * config.resolved_head_dim
    queries = config.heads * config.resolved_head_dim
    if config.resolved_kv_heads < config.heads:
        ends = (0, queries, queries + keys, queries + 2 * keys)
        pieces = [f"rows({start},{stop})" for start, stop in pairwise(ends)]
    else:
        pieces = [f"per_head({place},3,{config.heads})" for place in range(3)]
    block = dict(kernels(gpt2.PROJECTIONS))
    for part, piece in zip(("query", "key", "value"), pieces, strict=True):
        block[f"attention.{part}.kernel"] = f"attn.c_attn.weight : {piece} T"
        block[f"attention.{part}.bias"] = f"attn.c_attn.bias : {piece}"
    return gpt2.table(config, block, "transformer.")


GPT_BIGCODE = Family(
    model_type="gpt_bigcode",
    architecture="GPTBigCodeForCausalLM",
    summary="as `gpt2`, with `kv_heads=1`, or with `multi_query` off as many keys as queries",
    read=read,
    write=write,
    parameters=parameters,
    taps=gpt2.taps,
    defaults={**gpt2.DEFAULTS, "activation_function": "gelu_pytorch_tanh", "multi_query": True},
    tiny={
        "gpt-bigcode": TinyConfig("one key for all heads", gpt2.TINY),
        "gpt-bigcode-multi-head": TinyConfig(
            "query, key and value interleaved by head", {**gpt2.TINY, "multi_query": False}
        ),
    },
    refused=(
        Refused("scale_attn_weights", False, "all layers have one score scale"),
        Refused("add_cross_attention", True, "a decoder has nothing else to attend to"),
    ),
)
