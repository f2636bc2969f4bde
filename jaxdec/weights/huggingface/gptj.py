"""GPT-J (Wang and Komatsuzaki 2021): branches in parallel behind one norm; neighbouring channels turn, of a part of a
head."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, LayerNorm
from jaxdec.config.positions import RoPE
from jaxdec.weights.huggingface import gpt2, layer_norm_like
from jaxdec.weights.huggingface.family import Family, Inexpressible, Refused, TinyConfig, need
from jaxdec.weights.huggingface.neighbours import interleaved
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, biases, kernels, layer_norms, under

BLOCK, LAYER = "blocks.{i}.", "transformer.h.{i}."
NORM = {"attention_norm": "ln_1"}
QKV = {"attention.query": "attn.q_proj", "attention.key": "attn.k_proj", "attention.value": "attn.v_proj"}
OUT = {"attention.out": "attn.out_proj"}
MLP_MODULES = {"mlp.up": "mlp.fc_in", "mlp.down": "mlp.fc_out"}
THETA = 10_000.0  # in transformers a constant
REFUSED = (
    Refused("rotary_dim", 7, "an even number of channels turns, and no more than a head has"),
    Refused("tie_word_embeddings", True, "a tied head has no bias"),
)
TINY = {**gpt2.TINY, "rotary_dim": 4}


def read(settings: HFSettings) -> DecoderConfig:
    settings.only(tie_word_embeddings=False)
    width, heads = settings.whole("n_embd"), settings.whole("n_head")
    channels, head_dim = settings.whole("rotary_dim"), width // heads
    if channels < 2 or channels % 2 or channels > head_dim:
        raise settings.unsupported("rotary_dim", channels, REFUSED[0].why)
    return DecoderConfig(
        layers=settings.whole("n_layer"),
        heads=heads,
        width=width,
        context=settings.whole("n_positions"),
        vocab_size=settings.whole("vocab_size"),
        position=RoPE(THETA, channels=None if channels == head_dim else channels),
        norm=LayerNorm(settings.number("layer_norm_epsilon")),
        residual="parallel_one_norm",
        mlp=gpt2.read_mlp(settings, "n_inner", width),
        attention_bias=False,
        tied_head=False,
        head_bias=True,
        init_std=settings("initializer_range"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    rope, mlp = need(config.position, RoPE, "position"), need(config.mlp, MLP, "mlp")
    if rope.scaling is not None:
        raise Inexpressible("position.scaling", rope.scaling)
    return {
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_embd": config.width,
        "n_positions": config.context,
        "vocab_size": config.vocab_size,
        "rotary_dim": rope.turned(config.resolved_head_dim),
        "layer_norm_epsilon": config.norm.epsilon,
        "n_inner": mlp.resolved_hidden(config.width),
        "activation_function": activation_name(mlp.activation, "gelu_new"),
        "tie_word_embeddings": False,
        "initializer_range": config.init_std,
    }


def parameters(config: DecoderConfig) -> Table:
    return table(config, kernels(QKV))


def table(config: DecoderConfig, qkv: Table) -> Table:
    """All weights, those of query, key and value given."""
    block = {**layer_norms(NORM), **qkv, **kernels({**OUT, **MLP_MODULES}), **biases(MLP_MODULES)}
    return {
        "token_embed.embedding": "transformer.wte.weight",
        **interleaved(config, under(BLOCK, LAYER, block)),
        **layer_norms({"final_norm": "transformer.ln_f"}),
        **layer_norm_like.head(config),
    }


def taps(config: DecoderConfig) -> Table:
    return {
        "token_embed": "transformer.wte",
        **under(BLOCK, LAYER, {**NORM, **OUT, **MLP_MODULES, "attention": "attn", "mlp": "mlp"}),
        "blocks.{i}": "transformer.h.{i}",
        "final_norm": "transformer.ln_f",
    }


DEFAULTS = {**gpt2.DEFAULTS, "rotary_dim": 64, "tie_word_embeddings": False}

GPTJ = Family(
    model_type="gptj",
    architecture="GPTJForCausalLM",
    summary='`residual="parallel_one_norm"`, `RoPE(channels=rotary_dim)` whose pairs are neighbours there, '
    "`LayerNorm`, a plain MLP, no biases of attention, `head_bias`",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    defaults=DEFAULTS,
    tiny={"gptj": TinyConfig("half of the channels turns, neighbours in pairs, a bias of the head", TINY)},
    refused=REFUSED,
)
