"""GPT-2 (Radford et al. 2019): learned positions, layer norms, a plain MLP, query, key and value fused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, LayerNorm
from jaxdec.config.positions import Learned
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig, need
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, biases, kernels, layer_norms, under, when

NORMS = {"attention_norm": "ln_1", "mlp_norm": "ln_2"}
PROJECTIONS = {"attention.out": "attn.c_proj", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}
FUSED = {  # Conv1D holds matrices as [in, out], as we do
    "attention.query.kernel": "attn.c_attn.weight : chunk(0,3,1)",
    "attention.query.bias": "attn.c_attn.bias : chunk(0,3,0)",
    "attention.key.kernel": "attn.c_attn.weight : chunk(1,3,1)",
    "attention.key.bias": "attn.c_attn.bias : chunk(1,3,0)",
    "attention.value.kernel": "attn.c_attn.weight : chunk(2,3,1)",
    "attention.value.bias": "attn.c_attn.bias : chunk(2,3,0)",
}
DEFAULTS: Mapping[str, Any] = {
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_new",
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
}
TINY: Mapping[str, Any] = {
    "vocab_size": 97,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": None,
    "eos_token_id": None,
}
REFUSED = (
    Refused("scale_attn_weights", False, "all layers have one score scale"),
    Refused("scale_attn_by_inverse_layer_idx", True, "all layers have one score scale"),
    Refused("add_cross_attention", True, "a decoder has nothing else to attend to"),
)


def read(settings: HFSettings) -> DecoderConfig:
    settings.only(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    width = settings.whole("n_embd")
    return DecoderConfig(
        layers=settings.whole("n_layer"),
        heads=settings.whole("n_head"),
        width=width,
        context=settings.whole("n_positions"),
        vocab_size=settings.whole("vocab_size"),
        norm=LayerNorm(settings.number("layer_norm_epsilon")),
        mlp=read_mlp(settings, "n_inner", width),
        tied_head=settings("tie_word_embeddings"),
        init_std=settings("initializer_range"),
    )


def read_mlp(settings: HFSettings, hidden: str, width: int) -> MLP:
    """The feed-forward layer, of which `hidden` names the width: a multiple of the model's where it is one."""
    channels = settings.whole(hidden) if settings(hidden) is not None else 4 * width
    activation = settings.activation("activation_function")
    if channels % width == 0:
        return MLP(channels // width, activation)
    return MLP(hidden=channels, activation=activation)


def write(config: DecoderConfig, usual: str = "gelu_new") -> dict[str, Any]:
    """`usual` is what the family calls the tanh form of GELU."""
    need(config.position, Learned, "position")
    mlp = need(config.mlp, MLP, "mlp")
    return {
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_embd": config.width,
        "n_positions": config.context,
        "vocab_size": config.vocab_size,
        "layer_norm_epsilon": config.norm.epsilon,
        "n_inner": mlp.resolved_hidden(config.width),
        "activation_function": activation_name(mlp.activation, usual),
        "tie_word_embeddings": config.tied_head,
        "initializer_range": config.init_std,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
    }


def table(config: DecoderConfig, block: Table, root: str) -> Table:
    """All weights, those of a block given, where the names of modules start with `root`."""
    return {
        "token_embed.embedding": f"{root}wte.weight",
        "position_embed.embedding": f"{root}wpe.weight",
        **under("blocks.{i}.", root + "h.{i}.", {**layer_norms(NORMS), **biases(PROJECTIONS), **block}),
        **layer_norms({"final_norm": f"{root}ln_f"}),
        **when(not config.tied_head, {"head.kernel": "lm_head.weight : T"}),
    }


def parameters(config: DecoderConfig) -> Table:
    return table(config, {**FUSED, **kernels(PROJECTIONS, ops="")}, "transformer.")


def older(config: DecoderConfig) -> Table:
    """OpenAI's own files, whose names have no prefix."""
    return table(config, {**FUSED, **kernels(PROJECTIONS, ops="")}, "")


def taps(config: DecoderConfig) -> Table:
    block = {**NORMS, **PROJECTIONS, "attention": "attn", "mlp": "mlp"}
    return {
        "token_embed": "transformer.wte",
        "position_embed": "transformer.wpe",
        **under("blocks.{i}.", "transformer.h.{i}.", block),
        "blocks.{i}": "transformer.h.{i}",
        "final_norm": "transformer.ln_f",
    }


GPT2 = Family(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    summary="`Learned` positions, `LayerNorm`, `MLP` of any width with tanh GELU, or any `activation_function` of the "
    "list below",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    older=older,
    defaults=DEFAULTS,
    tiny={"gpt2": TinyConfig("fused Conv1D, tied head", TINY)},
    refused=REFUSED,
)
