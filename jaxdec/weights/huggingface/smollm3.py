"""SmolLM 3 (Hugging Face 2025): Llama with every fourth layer left without positions."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import NoPosition, RoPE
from jaxdec.weights.huggingface import layers, llama_like, rotary
from jaxdec.weights.huggingface.family import Family, Refused, TinyConfig
from jaxdec.weights.huggingface.llama_like import TINY
from jaxdec.weights.huggingface.settings import HFSettings


def read(settings: HFSettings) -> DecoderConfig:
    """`no_rope_layers` has a 1 for a layer that turns. The others have the window, where there is one, unless
    `layer_types` says otherwise."""
    count, interval = settings.whole("num_hidden_layers"), settings.count("no_rope_layer_interval")
    turned = settings("no_rope_layers")
    turned = [(layer + 1) % interval != 0 for layer in range(count)] if turned is None else turned
    if len(turned) < count:
        raise settings.unsupported("no_rope_layers", turned, f"there are {count} layers")
    used, window = settings("use_sliding_window"), settings("sliding_window")
    local = layers.local_by_type(settings, [bool(used and window and not each) for each in turned[:count]])
    if any(local) and not used:
        raise settings.unsupported(
            "use_sliding_window", used, "the attentions of transformers disagree on `layer_types`"
        )
    rope = rotary.read_rope(settings)
    return llama_like.read(
        settings,
        position=layers.shortest([rope if each else NoPosition() for each in turned[:count]]),
        attention=layers.windows(settings, local),
        bias=settings("mlp_bias"),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    windows = layers.write_types(config)
    return {
        **llama_like.write(config, rotary.first_rope(config, RoPE(2e6))),
        **llama_like.write_gated(config),
        **windows,
        "use_sliding_window": windows["sliding_window"] is not None,
        "no_rope_layers": [int(isinstance(config.position_of(layer), RoPE)) for layer in range(config.layers)],
        "mlp_bias": config.bias,
        "attention_bias": config.out_bias,
    }


SMOLLM3 = Family(
    model_type="smollm3",
    architecture="SmolLM3ForCausalLM",
    summary="as `llama`, with `NoPosition` in every fourth layer or where `no_rope_layers` has a 0; windows in those "
    "layers, or as `layer_types` says",
    read=read,
    write=write,
    parameters=llama_like.parameters,
    taps=llama_like.taps,
    defaults={
        **llama_like.DEFAULTS,
        "num_key_value_heads": 4,
        "rope_theta": 2e6,
        "tie_word_embeddings": True,
        "mlp_bias": False,
        "use_sliding_window": False,
        "no_rope_layer_interval": 4,
    },
    tiny={
        "smollm3": TinyConfig("a layer without positions", {**TINY, "no_rope_layers": [1, 0]}),
        "smollm3-four-layers": TinyConfig(
            "the fourth layer without positions, with a window",
            {**TINY, "num_hidden_layers": 4, "use_sliding_window": True, "sliding_window": 5},
        ),
    },
    refused=(
        *rotary.REFUSED,
        *layers.REFUSED,
        Refused("no_rope_layers", [1], "every layer turns or does not"),
    ),
)
