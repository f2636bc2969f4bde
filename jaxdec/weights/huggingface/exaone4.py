"""EXAONE 4 (LG AI Research 2025): OLMo 2's norms, but of each head's queries and keys, and full layers that do not turn
where others have windows."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import NoPosition, RoPE
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table


def read(settings: HFSettings) -> DecoderConfig:
    """Where there is a window, every `sliding_window_pattern`-th layer is full, unless `layer_types` says otherwise;
    full layers then have no positions. Without one, all layers are full and turn."""
    count, window, local = settings.whole("num_hidden_layers"), settings("sliding_window"), []
    if window and settings("layer_types") is None:
        pattern = settings.count("sliding_window_pattern")
        local = [(layer + 1) % pattern != 0 for layer in range(count)]
    local = layers.local_by_type(settings, local or [False] * count)
    rope = rotary.read_rope(settings)
    return llama_like.read(
        settings,
        position=layers.shortest([rope if each or not window else NoPosition() for each in local]),
        attention=layers.windows(settings, local),
        attention_bias=False,
        branch_norm="post",
        qk_norm=llama_like.read_norm(settings),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    return {
        **llama_like.write(config, rotary.first_rope(config, RoPE())),
        **llama_like.write_gated(config),
        **layers.write_types(config),
    }


def taps(config: DecoderConfig) -> Table:
    """Norms of queries and keys have their heads before the positions here, and are not tapped."""
    return llama_like.taps(config, qk_norm={})


EXAONE4 = Family(
    model_type="exaone4",
    architecture="Exaone4ForCausalLM",
    summary='as `llama`, with `branch_norm="post"`, `qk_norm` of each head, three local layers to a full one or as '
    "`layer_types` says: the full ones with `NoPosition`, unless no window is given",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=taps,
    defaults={
        **llama_like.DEFAULTS,
        "num_key_value_heads": 32,
        "rms_norm_eps": 1e-5,
        "sliding_window": 4096,
        "sliding_window_pattern": 4,
    },
    tiny={
        "exaone4": TinyConfig(
            "a full layer without positions",
            {**TINY, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
        ),
    },
    refused=(
        *rotary.REFUSED,
        *layers.REFUSED,
        layers.NO_WINDOW,
    ),
)
