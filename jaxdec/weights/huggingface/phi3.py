"""Phi-3 (Abdin et al. 2024): Llama with fused projections and rotary positions of a part of a head."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import RoPE
from jaxdec.weights.huggingface import layers, llama_like, mistral, partial_rotary
from jaxdec.weights.huggingface.family import Family, Inexpressible, Refused, TinyConfig, need
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table, under

WHY = "the angles of a position depend on nothing else; transformers knows no other scaling of this family"


def read(settings: HFSettings) -> DecoderConfig:
    given = settings("rope_scaling") or settings("rope_parameters") or {}
    kind = given.get("rope_type", given.get("type", "default"))
    if kind != "default":
        raise settings.unsupported("rope_type", kind, WHY)
    size = settings("head_dim") or settings.whole("hidden_size") // settings.whole("num_attention_heads")
    return mistral.read(settings, position=partial_rotary.read_partial(settings, size))


def write(config: DecoderConfig) -> dict[str, Any]:
    rope = need(config.position, RoPE, "position")
    if rope.scaling is not None:
        raise Inexpressible("position.scaling", rope.scaling)
    return {**mistral.write(config), **partial_rotary.write_partial(config)}


def parameters(config: DecoderConfig) -> Table:
    """One tensor holds all queries, then all keys and all values; another all gates, then what they multiply."""
    queries, keys = (heads * config.resolved_head_dim for heads in (config.heads, config.resolved_kv_heads))
    ends = (0, queries, queries + keys, queries + 2 * keys)
    fused = {
        f"attention.{part}.kernel": f"self_attn.qkv_proj.weight : rows({start},{stop}) T"
        for part, (start, stop) in zip(("query", "key", "value"), pairwise(ends), strict=True)
    }
    fused["mlp.gate.kernel"] = "mlp.gate_up_proj.weight : chunk(0,2,0) T"
    fused["mlp.up.kernel"] = "mlp.gate_up_proj.weight : chunk(1,2,0) T"
    return {**llama_like.parameters(config), **under(llama_like.BLOCK, llama_like.LAYER, fused)}


PHI3 = Family(
    model_type="phi3",
    architecture="Phi3ForCausalLM",
    summary="as `mistral`, with `RoPE(channels=...)`; query, key and value are one matrix there, gate and up another",
    read=read,
    write=write,
    parameters=parameters,
    taps=llama_like.taps,
    defaults={
        **llama_like.DEFAULTS,
        "rms_norm_eps": 1e-5,
        "partial_rotary_factor": 1.0,
    },
    tiny={
        "phi3": TinyConfig("fused projections with fewer keys, a window", {**TINY, "sliding_window": 5}),
        "phi3-partial": TinyConfig(
            "half of the channels turns, tied head", {**TINY, "partial_rotary_factor": 0.5, "tie_word_embeddings": True}
        ),
    },
    refused=(
        *(each for each in partial_rotary.REFUSED if each.setting != "rope_parameters"),
        Refused("rope_parameters", {"full_attention": {"rope_type": "default"}}, "all layers turn by the same angles"),
        *(Refused("rope_parameters", {"rope_type": kind, "factor": 2.0}, WHY) for kind in ("longrope", "linear")),
    ),
    ignored=layers.IGNORED,
)
