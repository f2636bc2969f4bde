"""MPT (MosaicML 2023): scores lowered with distance in place of positions, no biases."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, Full, LayerNorm
from jaxdec.config.positions import NoPosition
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig, need
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table, kernels, scales, under, when

ALIBI = Full(alibi=8.0)
NORMS = {"attention_norm": "norm_1", "mlp_norm": "norm_2"}
PROJECTIONS = {"attention.out": "attn.out_proj", "mlp.up": "ffn.up_proj", "mlp.down": "ffn.down_proj"}
OBEYED = {  # what transformers builds whatever these say
    "attn_type": "multihead_attention",
    "prefix_lm": False,
    "qk_ln": False,
    "alibi": True,
    "alibi_bias_max": 8,
}
HEADS = "where the number of heads is no power of two, slopes do not form one series"


def read(settings: HFSettings) -> DecoderConfig:
    settings.only(no_bias=True, expansion_ratio=4, logit_scale=None)
    given = settings("attn_config") or {}
    for name, value in OBEYED.items():
        if given.get(name, value) != value:
            raise settings.unsupported("attn_config", {name: given[name]}, f"transformers builds it with {value!r}")
    heads = settings.whole("n_heads")
    if heads & (heads - 1):
        raise settings.unsupported("n_heads", heads, HEADS)
    return DecoderConfig(
        layers=settings.whole("n_layers"),
        heads=heads,
        width=settings.whole("d_model"),
        context=settings.whole("max_seq_len"),
        vocab_size=settings.whole("vocab_size"),
        position=NoPosition(),
        norm=LayerNorm(settings.number("layer_norm_epsilon")),
        qkv_clip=given.get("clip_qkv") or None,
        attention=ALIBI,
        score_scale=given.get("softmax_scale"),
        mlp=MLP(4, "gelu"),
        bias=False,
        tied_head=settings("tie_word_embeddings"),
        init_std=settings("initializer_range"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    need(config.norm, LayerNorm, "norm")
    return {
        "n_layers": config.layers,
        "n_heads": config.heads,
        "d_model": config.width,
        "max_seq_len": config.context,
        "vocab_size": config.vocab_size,
        "layer_norm_epsilon": config.norm.epsilon,
        "attn_config": {"clip_qkv": config.qkv_clip, "softmax_scale": config.score_scale, **OBEYED},
        "expansion_ratio": 4,
        "no_bias": True,
        "tie_word_embeddings": config.tied_head,
        "initializer_range": config.init_std,
    }


def parameters(config: DecoderConfig) -> Table:
    fused = {
        f"attention.{part}.kernel": f"attn.Wqkv.weight : chunk({place},3,0) T"
        for place, part in enumerate(("query", "key", "value"))
    }
    return {
        "token_embed.embedding": "transformer.wte.weight",
        **under("blocks.{i}.", "transformer.blocks.{i}.", {**scales(NORMS), **fused, **kernels(PROJECTIONS)}),
        **scales({"final_norm": "transformer.norm_f"}),
        **when(not config.tied_head, {"head.kernel": "lm_head.weight : T"}),
    }


def taps(config: DecoderConfig) -> Table:
    """Its feed-forward layer returns the sum with what it was given: it is not tapped."""
    return {
        "token_embed": "transformer.wte",
        **under("blocks.{i}.", "transformer.blocks.{i}.", {**NORMS, **PROJECTIONS, "attention": "attn"}),
        "blocks.{i}": "transformer.blocks.{i}",
        "final_norm": "transformer.norm_f",
    }


TINY = {
    "vocab_size": 97,
    "d_model": 32,
    "n_layers": 2,
    "n_heads": 4,
    "max_seq_len": 64,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}

MPT = Family(
    model_type="mpt",
    architecture="MptForCausalLM",
    summary="`NoPosition` with `Full(alibi=8)`, `LayerNorm`, a plain MLP with exact GELU, no biases; `clip_qkv`, "
    "`softmax_scale`",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    defaults={"layer_norm_epsilon": 1e-5, "tie_word_embeddings": True, "initializer_range": 0.02},
    tiny={
        "mpt": TinyConfig("scores lowered with distance, fused projections", TINY),
        "mpt-clipped": TinyConfig(
            "clipped queries, keys and values, another score scale, an untied head",
            {**TINY, "attn_config": {"clip_qkv": 0.5, "softmax_scale": 0.2}, "tie_word_embeddings": False},
        ),
    },
    refused=(
        Refused("n_heads", 6, HEADS),
        Refused("no_bias", False, "transformers builds it without biases"),
        Refused("expansion_ratio", 3, "transformers builds it four times as wide"),
        Refused("logit_scale", 0.5, "transformers does not scale logits"),
        *(
            Refused("attn_config", {name: value}, f"transformers builds it with {name} = {OBEYED[name]!r}")
            for name, value in (("qk_ln", True), ("prefix_lm", True), ("alibi", False))
        ),
    ),
)
