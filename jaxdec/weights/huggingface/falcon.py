"""Falcon (Almazrouei et al. 2023): branches in parallel, fewer keys than queries, biases of norms."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, LayerNorm
from jaxdec.weights.huggingface import gpt2, layer_norm_like, layers, rotary
from jaxdec.weights.huggingface.family import Family, Inexpressible, Refused, TinyConfig, need
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, layer_norms, under

BLOCK, LAYER = "blocks.{i}.", "transformer.h.{i}."
OUT = {"attention.out": "self_attention.dense"}
MLP_MODULES = {"mlp.up": "mlp.dense_h_to_4h", "mlp.down": "mlp.dense_4h_to_h"}
NORMS: dict[str, Table] = {
    "sequential": layer_norm_like.NORMS,
    "parallel": {"attention_norm": "ln_attn", "mlp_norm": "ln_mlp"},
    "parallel_one_norm": {"attention_norm": "input_layernorm"},
}
ROUNDED = "its slopes are rounded to bfloat16, whatever the model computes in"
TWO_NORMS = "a norm for each branch belongs to branches in parallel of the new architecture"


def read(settings: HFSettings) -> DecoderConfig:
    settings.only(alibi=False)
    heads, biased = settings.whole("num_attention_heads"), bool(settings("bias"))
    new, norms = settings("new_decoder_architecture"), settings("num_ln_in_parallel_attn")
    if norms is None:
        norms = 2 if new else 1
    if norms not in (1, 2) or (norms == 2 and not (new and settings("parallel_attn"))):
        raise settings.unsupported("num_ln_in_parallel_attn", norms, TWO_NORMS)
    if new and not settings("parallel_attn"):
        raise settings.unsupported("parallel_attn", False, "branches of the new architecture are in parallel")
    width = settings.whole("hidden_size")
    return DecoderConfig(
        layers=settings.whole("num_hidden_layers"),
        heads=heads,
        width=width,
        context=settings.whole("max_position_embeddings"),
        vocab_size=settings.whole("vocab_size"),
        kv_heads=(settings("num_kv_heads") or heads) if new else 1 if settings("multi_query") else heads,
        position=rotary.read_rope(settings),
        norm=LayerNorm(settings.number("layer_norm_epsilon"), bias=True),
        residual="parallel" if norms == 2 else "parallel_one_norm" if settings("parallel_attn") else "sequential",
        mlp=gpt2.read_mlp(settings.but(activation_function=settings("activation")), "ffn_hidden_size", width),
        bias=biased,
        tied_head=settings("tie_word_embeddings"),
        init_std=settings("initializer_range"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    """The old architecture where it has such a model."""
    mlp, keys = need(config.mlp, MLP, "mlp"), config.resolved_kv_heads
    new = config.residual == "parallel" or keys not in (1, config.heads)
    if new and config.residual == "sequential":
        raise Inexpressible("kv_heads", keys)
    return {
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_size": config.width,
        "max_position_embeddings": config.context,
        "vocab_size": config.vocab_size,
        **rotary.write_rope(config.position),
        "layer_norm_epsilon": need(config.norm, LayerNorm, "norm").epsilon,
        "new_decoder_architecture": new,
        "multi_query": keys == 1,
        "num_kv_heads": keys,
        "parallel_attn": config.residual != "sequential",
        "num_ln_in_parallel_attn": 2 if config.residual == "parallel" else 1 if new else None,
        "alibi": False,
        "bias": config.bias,
        "ffn_hidden_size": mlp.resolved_hidden(config.width),
        "activation": activation_name(mlp.activation),
        "tie_word_embeddings": config.tied_head,
        "initializer_range": config.init_std,
    }


def parameters(config: DecoderConfig) -> Table:
    """For each key there are its queries, then itself, then its value: of one key, of a few, or of as many as heads."""
    keys = config.resolved_kv_heads
    group = config.heads // keys
    pieces = {"query": f"0,{group + 2},{keys},{group}", "key": f"{group},{group + 2},{keys}"}
    pieces["value"] = f"{group + 1},{group + 2},{keys}"
    fused = {}
    for part, piece in pieces.items():
        fused[f"attention.{part}.kernel"] = f"self_attention.query_key_value.weight : per_head({piece}) T"
        if config.qkv_bias:
            fused[f"attention.{part}.bias"] = f"self_attention.query_key_value.bias : per_head({piece})"
    modules = layer_norm_like.linears(config, {**OUT, **MLP_MODULES})
    return {
        "token_embed.embedding": "transformer.word_embeddings.weight",
        **under(BLOCK, LAYER, {**layer_norms(NORMS[config.residual]), **fused, **modules}),
        **layer_norms({"final_norm": "transformer.ln_f"}),
        **layer_norm_like.head(config),
    }


def taps(config: DecoderConfig) -> Table:
    """What its feed-forward layer returns is changed afterwards, in place: it is not tapped."""
    block = {**NORMS[config.residual], **OUT, "mlp.up": MLP_MODULES["mlp.up"], "attention": "self_attention"}
    return {
        "token_embed": "transformer.word_embeddings",
        **under(BLOCK, LAYER, block),
        "blocks.{i}": "transformer.h.{i}",
        "final_norm": "transformer.ln_f",
    }


TINY_FALCON = {name: value for name, value in TINY.items() if name not in ("num_key_value_heads", "intermediate_size")}

FALCON = Family(
    model_type="falcon",
    architecture="FalconForCausalLM",
    summary="`RoPE`, `LayerNorm(bias=True)`, a plain MLP with exact GELU; one key for all heads and "
    '`residual="parallel_one_norm"`, or with `new_decoder_architecture` `num_kv_heads` keys and `"parallel"`, or with '
    '`parallel_attn` off `"sequential"`; `bias`',
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    defaults={
        "layer_norm_epsilon": 1e-5,
        "initializer_range": 0.02,
        "multi_query": True,
        "parallel_attn": True,
        "activation": "gelu",
        "rope_theta": 10_000.0,
        "tie_word_embeddings": True,
    },
    tiny={
        "falcon": TinyConfig("one key for all heads, one norm for both branches", TINY_FALCON),
        "falcon-new": TinyConfig(
            "a norm for each branch, two heads to a key, an untied head",
            {**TINY_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, "tie_word_embeddings": False},
        ),
        "falcon-sequential": TinyConfig(
            "one branch after the other, as many keys as heads, biases",
            {**TINY_FALCON, "multi_query": False, "parallel_attn": False, "bias": True, "ffn_hidden_size": 50},
        ),
    },
    refused=(
        *rotary.REFUSED,
        Refused("alibi", True, ROUNDED),
        Refused("num_ln_in_parallel_attn", 2, TWO_NORMS),
    ),
    ignored=layers.IGNORED,
)
