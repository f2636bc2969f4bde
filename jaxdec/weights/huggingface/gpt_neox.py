"""GPT-NeoX (Black et al. 2022), and Pythia: branches in parallel, rotary positions of a part of a head."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.weights.huggingface import layer_norm_like, layers, partial_rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig, need
from jaxdec.weights.huggingface.layer_norm_like import NORMS, head_dim
from jaxdec.weights.huggingface.llama_like import RAMP, TINY, tiny_rope
from jaxdec.weights.huggingface.plain_mlp import read_plain_mlp, write_plain_mlp
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table, biases, kernels, layer_norms, under, when

BLOCK, LAYER = "blocks.{i}.", "gpt_neox.layers.{i}."
OUT = {"attention.out": "attention.dense"}
MLP_MODULES = {"mlp.up": "mlp.dense_h_to_4h", "mlp.down": "mlp.dense_4h_to_h"}
NAMES = {"share": "rotary_pct", "theta": "rotary_emb_base"}


def read(settings: HFSettings) -> DecoderConfig:
    parallel = settings("use_parallel_residual")
    return DecoderConfig(
        layers=settings.whole("num_hidden_layers"),
        heads=settings.whole("num_attention_heads"),
        width=settings.whole("hidden_size"),
        context=settings.whole("max_position_embeddings"),
        vocab_size=settings.whole("vocab_size"),
        position=partial_rotary.read_partial(settings, head_dim(settings), **NAMES),
        norm=LayerNorm(settings.number("layer_norm_eps")),
        residual="parallel" if parallel else "sequential",
        mlp=read_plain_mlp(settings),
        attention_bias=settings("attention_bias"),
        tied_head=settings("tie_word_embeddings"),
        init_std=settings("initializer_range"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    return {
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_size": config.width,
        "max_position_embeddings": config.context,
        "vocab_size": config.vocab_size,
        **partial_rotary.write_partial(config, **NAMES),
        "layer_norm_eps": need(config.norm, LayerNorm, "norm").epsilon,
        "use_parallel_residual": config.residual == "parallel",
        **write_plain_mlp(config),
        "attention_bias": config.out_bias,
        "tie_word_embeddings": config.tied_head,
        "initializer_range": config.init_std,
    }


def parameters(config: DecoderConfig) -> Table:
    """One tensor holds query, key and value of the first head, then of the second."""
    fused = {}
    for place, part in enumerate(("query", "key", "value")):
        piece = f"per_head({place},3,{config.heads})"
        fused[f"attention.{part}.kernel"] = f"attention.query_key_value.weight : {piece} T"
        if config.qkv_bias:
            fused[f"attention.{part}.bias"] = f"attention.query_key_value.bias : {piece}"
    block = {
        **layer_norms(NORMS),
        **fused,
        **layer_norm_like.linears(config, OUT),
        **kernels(MLP_MODULES),
        **biases(MLP_MODULES),
    }
    return {
        "token_embed.embedding": "gpt_neox.embed_in.weight",
        **under(BLOCK, LAYER, block),
        **layer_norms({"final_norm": "gpt_neox.final_layer_norm"}),
        **when(not config.tied_head, {"head.kernel": "lm_head.weight : T"}),
    }


def files(config: DecoderConfig) -> Table:
    """The head has its first name there."""
    return when(not config.tied_head, {"head.kernel": "embed_out.weight : T"})


def taps(config: DecoderConfig) -> Table:
    block = {**NORMS, **OUT, **MLP_MODULES, "attention": "attention", "mlp": "mlp"}
    return {
        "token_embed": "gpt_neox.embed_in",
        **under(BLOCK, LAYER, block),
        "blocks.{i}": "gpt_neox.layers.{i}",
        "final_norm": "gpt_neox.final_layer_norm",
    }


TINY_NEOX = {name: value for name, value in TINY.items() if name != "num_key_value_heads"}

GPT_NEOX = Family(
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    summary='`residual="parallel"` or, with `use_parallel_residual` off, one branch after the other; '
    "`RoPE(channels=...)` (`rotary_pct`), `LayerNorm`, a plain MLP; `attention_bias`, tied or not",
    read=read,
    write=write,
    parameters=parameters,
    files=files,
    taps=taps,
    defaults={
        **layer_norm_like.DEFAULTS,
        "hidden_act": "gelu",
        "rotary_pct": 0.25,
        "rotary_emb_base": 10_000.0,
        "attention_bias": True,
        "use_parallel_residual": True,
    },
    tiny={
        "gpt-neox": TinyConfig("branches in parallel, a quarter of the channels turns", TINY_NEOX),
        "gpt-neox-sequential": TinyConfig(
            "one branch after the other, tied head, YaRN of some channels",
            {
                **TINY_NEOX,
                "num_attention_heads": 2,
                "use_parallel_residual": False,
                "tie_word_embeddings": True,
                "attention_bias": False,
                **tiny_rope("yarn", partial_rotary_factor=0.75, **RAMP),
            },
        ),
    },
    refused=(
        *(each for each in partial_rotary.REFUSED if each.setting != "partial_rotary_factor"),
        Refused("rotary_pct", 1.5, partial_rotary.WHY),
    ),
    ignored=layers.IGNORED,
)
