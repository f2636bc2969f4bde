"""Gemma 3 (Gemma Team 2025), its decoder of text: Gemma 2 with norms of queries and keys in place of soft caps, and
local layers that turn by other angles than the full ones."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import RoPE
from jaxdec.weights.huggingface import gemma, gemma2, layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table


def read(settings: HFSettings) -> DecoderConfig:
    """Every `sliding_window_pattern`-th layer is full, the others are local, unless `layer_types` says otherwise."""
    settings.only(use_bidirectional_attention=False)
    count, pattern = settings.whole("num_hidden_layers"), settings.count("sliding_window_pattern")
    local = layers.local_by_type(settings, [(layer + 1) % pattern != 0 for layer in range(count)])
    return llama_like.read(
        settings,
        position=rotary.read_by_type(settings, local, local_theta=settings.number("rope_local_base_freq")),
        branch_norm="both",
        qk_norm=llama_like.read_norm(settings),
        attention=layers.windows(settings, local),
        score_scale=settings.positive("query_pre_attn_scalar") ** -0.5,
        mlp=llama_like.read_gated(settings, activation="hidden_activation"),
        embed_scale=settings.whole("hidden_size") ** 0.5,
        logit_softcap=settings("final_logit_softcapping"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    full, local = rotary.positions_by_type(config, full=RoPE(1e6), local=RoPE(1e4))
    return {
        **gemma2.write(config, full),
        **rotary.write_by_type(full, local),
        "rope_local_base_freq": local.theta,
    }


def taps(config: DecoderConfig) -> Table:
    """Norms of queries and keys have their heads before the positions here, and are not tapped."""
    return llama_like.taps(config, qk_norm={})


ANGLES = {
    "full_attention": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 3.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
}

SIZES = {  # which the files of the released models leave out
    "vocab_size": 262_208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_attention_heads": 8,
    "max_position_embeddings": 131_072,
}

GEMMA3_TEXT = Family(
    model_type="gemma3_text",
    architecture="Gemma3ForCausalLM",
    summary="as `gemma2`, with `qk_norm` of each head, `RoPE` by kind of layer, scores without a soft cap, and five "
    "local layers to a full one or as `layer_types` says",
    read=read,
    write=write,
    parameters=gemma.parameters,
    taps=taps,
    defaults={
        **llama_like.DEFAULTS,
        **SIZES,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "rope_theta": 1e6,
        "rope_local_base_freq": 1e4,
    },
    tiny={
        "gemma3": TinyConfig(
            "angles by kind of layer, the full one's scaled",
            {
                **TINY,
                "head_dim": 16,
                "query_pre_attn_scalar": 24,
                "sliding_window": 5,
                "rope_parameters": ANGLES,
                "layer_types": ["sliding_attention", "full_attention"],
            },
        ),
        "gemma3-six-layers": TinyConfig(
            "five local layers to a full one, a soft cap of logits",
            {
                **TINY,
                "num_hidden_layers": 6,
                "head_dim": 8,
                "sliding_window": 5,
                "final_logit_softcapping": 6.0,
            },
        ),
    },
    refused=(*rotary.REFUSED_BY_TYPE, *layers.REFUSED, layers.NO_WINDOW, gemma.NOT_CAUSAL),
    ignored={"attn_logit_softcapping": "attention is not told of it"},
)
