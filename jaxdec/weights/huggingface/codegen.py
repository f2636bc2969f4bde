"""CodeGen (Nijkamp et al. 2022): GPT-J with query, key and value fused, in four parts as it was trained on."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import gptj
from jaxdec.weights.huggingface.family import Family, Inexpressible, Refused, TinyConfig
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table

PARTS = 4  # in transformers a constant
WHY = f"query, key and value lie in {PARTS} parts, each with as many heads"


def read(settings: HFSettings) -> DecoderConfig:
    if settings.whole("n_head") % PARTS:
        raise settings.unsupported("n_head", settings("n_head"), WHY)
    return gptj.read(settings)


def write(config: DecoderConfig) -> dict[str, Any]:
    if config.heads % PARTS:
        raise Inexpressible("heads", config.heads)
    return {**gptj.write(config), "n_ctx": config.context}


def parameters(config: DecoderConfig) -> Table:
    """Each part holds the queries of its heads, then their values, then their keys."""
    places = {"query": 0, "value": 1, "key": 2}
    qkv = {
        f"attention.{part}.kernel": f"attn.qkv_proj.weight : per_head({place},3,{PARTS}) T"
        for part, place in places.items()
    }
    return gptj.table(config, qkv)


CODEGEN = Family(
    model_type="codegen",
    architecture="CodeGenForCausalLM",
    summary="as `gptj`; query, key and value are one matrix there, in four parts",
    read=read,
    write=write,
    parameters=parameters,
    taps=gptj.taps,
    defaults=gptj.DEFAULTS,
    tiny={
        "codegen": TinyConfig("fused projections in four parts of two heads", {**gptj.TINY, "n_head": 8, "n_embd": 64})
    },
    refused=(*gptj.REFUSED, Refused("n_head", 2, WHY)),
)
