"""OPT (Zhang et al. 2022): GPT-2's structure with ReLU, and position rows that start at 2."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, LayerNorm
from jaxdec.config.positions import Learned
from jaxdec.weights.huggingface import gpt2
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig, need
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, biases, kernels, layer_norms, under, when

PADDING_ROWS = 2  # meant for padding, and never read
DECODER, LAYER = "model.decoder.", "model.decoder.layers.{i}"
NORMS = {"attention_norm": "self_attn_layer_norm", "mlp_norm": "final_layer_norm"}
QKV = {
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
}
PROJECTIONS = {"attention.out": "self_attn.out_proj", "mlp.up": "fc1", "mlp.down": "fc2"}


def read(settings: HFSettings) -> DecoderConfig:
    width = settings.whole("hidden_size")
    settings.only(do_layer_norm_before=True, _remove_final_layer_norm=False, layer_norm_elementwise_affine=True)
    settings.only(enable_bias=True, word_embed_proj_dim=width)
    return DecoderConfig(
        layers=settings.whole("num_hidden_layers"),
        heads=settings.whole("num_attention_heads"),
        width=width,
        context=settings.whole("max_position_embeddings"),
        vocab_size=settings.whole("vocab_size"),
        norm=LayerNorm(1e-5),
        mlp=gpt2.read_mlp(settings, "ffn_dim", width),
        tied_head=settings("tie_word_embeddings"),
        init_std=settings("init_std"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    need(config.position, Learned, "position")
    mlp = need(config.mlp, MLP, "mlp")
    return {
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_size": config.width,
        "word_embed_proj_dim": config.width,
        "max_position_embeddings": config.context,
        "vocab_size": config.vocab_size,
        "ffn_dim": mlp.resolved_hidden(config.width),
        "activation_function": activation_name(mlp.activation),
        "tie_word_embeddings": config.tied_head,
        "init_std": config.init_std,
        "dropout": config.dropout,
        "attention_dropout": config.dropout,
    }


def parameters(config: DecoderConfig) -> Table:
    linears = {**QKV, **PROJECTIONS}
    return {
        "token_embed.embedding": f"{DECODER}embed_tokens.weight",
        "position_embed.embedding": f"{DECODER}embed_positions.weight : rows({PADDING_ROWS},)",
        **under("blocks.{i}.", f"{LAYER}.", {**layer_norms(NORMS), **kernels(linears), **biases(linears)}),
        **layer_norms({"final_norm": f"{DECODER}final_layer_norm"}),
        **when(not config.tied_head, {"head.kernel": "lm_head.weight : T"}),
    }


def taps(config: DecoderConfig) -> Table:
    """Its position table is called with a mask, and its feed-forward layer is no module: neither is tapped."""
    return {
        "token_embed": f"{DECODER}embed_tokens",
        **under("blocks.{i}.", f"{LAYER}.", {**NORMS, **PROJECTIONS, "attention": "self_attn"}),
        "blocks.{i}": LAYER,
        "final_norm": f"{DECODER}final_layer_norm",
    }


OPT = Family(
    model_type="opt",
    architecture="OPTForCausalLM",
    summary="as `gpt2`, with ReLU; position p is row p + 2 of the table, the first two rows are left out",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    left_out=(f"{DECODER}embed_positions.weight : rows(0,{PADDING_ROWS})",),
    defaults={"activation_function": "relu", "ffn_dim": 3072, "tie_word_embeddings": True, "init_std": 0.02},
    tiny={
        "opt": TinyConfig(
            "ReLU, shifted positions",
            {
                "vocab_size": 97,
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "max_position_embeddings": 64,
                "ffn_dim": 64,
                "pad_token_id": None,
                "bos_token_id": None,
                "eos_token_id": None,
            },
        )
    },
    refused=(
        Refused("do_layer_norm_before", False, "norms of the residual stream itself (OPT-350m)"),
        Refused("word_embed_proj_dim", 16, "a projection of the embedding (OPT-350m)"),
        Refused("_remove_final_layer_norm", True, "a decoder ends in a norm"),
        Refused("enable_bias", False, "layer norms have a bias where projections have one"),
        Refused("layer_norm_elementwise_affine", False, "every layer norm has a scale"),
    ),
)
