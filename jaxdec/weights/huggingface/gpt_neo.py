"""GPT-Neo (Black et al. 2021): GPT-2 with windows in every second layer, and scores that are not scaled."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, Full, LayerNorm, Local
from jaxdec.config.positions import Learned
from jaxdec.weights.huggingface import gpt2
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig, need
from jaxdec.weights.huggingface.layers import shortest
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, biases, kernels, under

QKV = {
    "attention.query": "attn.attention.q_proj",
    "attention.key": "attn.attention.k_proj",
    "attention.value": "attn.attention.v_proj",
}
PROJECTIONS = {"attention.out": "attn.attention.out_proj", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}
KINDS = {"global": False, "local": True}


def read(settings: HFSettings) -> DecoderConfig:
    width, layers = settings.whole("hidden_size"), settings.whole("num_layers")
    types = settings("attention_types")
    kinds = [kind for names, times in types for _ in range(times) for kind in names]
    if len(kinds) != layers:
        raise settings.unsupported(
            "attention_types", types, f"it names {len(kinds)} layers, and num_layers is {layers}"
        )
    local = [settings.choice("attention_types", kind, KINDS) for kind in kinds]
    window = Local(window=settings.whole("window_size")) if any(local) else Full()
    return DecoderConfig(
        layers=layers,
        heads=settings.whole("num_heads"),
        width=width,
        context=settings.whole("max_position_embeddings"),
        vocab_size=settings.whole("vocab_size"),
        norm=LayerNorm(settings.number("layer_norm_epsilon")),
        attention=shortest([window if each else Full() for each in local]),
        score_scale=1.0,
        mlp=gpt2.read_mlp(settings, "intermediate_size", width),
        attention_bias="out",
        tied_head=settings("tie_word_embeddings"),
        init_std=settings("initializer_range"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    need(config.position, Learned, "position")
    mlp = need(config.mlp, MLP, "mlp")
    patterns = [config.attention_of(layer) for layer in range(config.layers)]
    windows = [each.window for each in patterns if isinstance(each, Local)]
    kinds = ["local" if isinstance(each, Local) else "global" for each in patterns]
    return {
        "num_layers": config.layers,
        "num_heads": config.heads,
        "hidden_size": config.width,
        "max_position_embeddings": config.context,
        "vocab_size": config.vocab_size,
        "attention_types": [[kinds, 1]],
        **({"window_size": windows[0]} if windows else {}),
        "layer_norm_epsilon": config.norm.epsilon,
        "intermediate_size": mlp.resolved_hidden(config.width),
        "activation_function": activation_name(mlp.activation, "gelu_new"),
        "tie_word_embeddings": config.tied_head,
        "initializer_range": config.init_std,
    }


def parameters(config: DecoderConfig) -> Table:
    block = {**kernels({**QKV, **PROJECTIONS}), **biases(PROJECTIONS)}
    return {**gpt2.table(config, {}, "transformer."), **under("blocks.{i}.", "transformer.h.{i}.", block)}


def taps(config: DecoderConfig) -> Table:
    block = {**gpt2.NORMS, **PROJECTIONS, "attention": "attn", "mlp": "mlp"}
    return {**gpt2.taps(config), **under("blocks.{i}.", "transformer.h.{i}.", block)}


GPT_NEO = Family(
    model_type="gpt_neo",
    architecture="GPTNeoForCausalLM",
    summary='as `gpt2`, with `score_scale=1`, `attention_bias="out"`, and `Local(window=window_size)` in the layers '
    "that `attention_types` calls local",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    defaults={**gpt2.DEFAULTS, "window_size": 256, "attention_types": [[["global", "local"], 12]]},
    tiny={
        "gpt-neo": TinyConfig(
            "a window in the second layer, scores not scaled",
            {
                "vocab_size": 97,
                "hidden_size": 32,
                "num_layers": 2,
                "num_heads": 4,
                "max_position_embeddings": 64,
                "window_size": 5,
                "attention_types": [[["global", "local"], 1]],
                "bos_token_id": None,
                "eos_token_id": None,
            },
        )
    },
    refused=(
        Refused("attention_types", [[["global", "strided"], 1]], "a layer sees all before it, or a window of it"),
    ),
)
