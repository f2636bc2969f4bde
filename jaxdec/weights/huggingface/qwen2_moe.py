"""Qwen 2's mixtures (Qwen Team 2024): its biases, and beside the chosen experts a shared one with a gate of its own."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import GatedMLP
from jaxdec.weights.huggingface import layers, llama_like, mixtures, qwen2, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig, need
from jaxdec.weights.huggingface.llama_like import ROUTER, TINY_MIXTURE
from jaxdec.weights.huggingface.settings import HFSettings
from jaxdec.weights.huggingface.tables import Table, kernels

SHARED = {
    "mlp.shared.gate": "mlp.shared_expert.gate_proj",
    "mlp.shared.up": "mlp.shared_expert.up_proj",
    "mlp.shared.down": "mlp.shared_expert.down_proj",
    "mlp.shared_gate": "mlp.shared_expert_gate",
}
SHARED_TAPS = {"mlp.shared": "mlp.shared_expert", "mlp.shared_gate": "mlp.shared_expert_gate"}


def read(settings: HFSettings) -> DecoderConfig:
    """Without `layer_types`, every second of the first `max_window_layers` layers has the window, where it is used."""
    if not settings("use_sliding_window"):
        settings = settings.but(sliding_window=None)
    window, last = settings("sliding_window"), settings("max_window_layers")
    local = [bool(window) and layer % 2 == 0 and layer < last for layer in range(settings.whole("num_hidden_layers"))]
    shared = llama_like.read_gated(settings, "shared_expert_intermediate_size")
    return llama_like.read(
        settings,
        attention=layers.windows_by_type(settings, local),
        attention_bias="qkv" if settings("qkv_bias") else False,
        mlp=mixtures.read_layers(settings, shared=shared, shared_gate=True),
    )


def write(config: DecoderConfig) -> dict[str, Any]:
    feed_forward, mixture = mixtures.write_layers(config)
    return {
        **llama_like.write(config),
        **qwen2.write_windows(config),
        **feed_forward,
        "shared_expert_intermediate_size": need(mixture.shared, GatedMLP, "mlp.shared").hidden,
        "qkv_bias": config.qkv_bias,
    }


def parameters(config: DecoderConfig) -> Table:
    return llama_like.parameters(config, {**llama_like.EXPERTS, **kernels(SHARED)})


def taps(config: DecoderConfig) -> Table:
    return llama_like.taps(config, router={**ROUTER, **SHARED_TAPS})


TINY = {**TINY_MIXTURE, "num_experts": 4, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 40}
WINDOWS = {"use_sliding_window": True, "sliding_window": 5}

QWEN2_MOE = Family(
    model_type="qwen2_moe",
    architecture="Qwen2MoeForCausalLM",
    summary="as `qwen2`, with `MoE` as in `qwen3_moe`, a `shared` expert and its `shared_gate`; `qkv_bias` or none; "
    "windows in every second layer up to `max_window_layers`, or as `layer_types` says",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    files=mixtures.files,
    defaults={
        **llama_like.DEFAULTS,
        "num_key_value_heads": 16,
        "qkv_bias": True,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "norm_topk_prob": False,
    },
    tiny={
        "qwen2-moe": TinyConfig("a gated shared expert, gates over all", {**TINY, "norm_topk_prob": False}),
        "qwen2-moe-renormalised": TinyConfig(
            "gates over the chosen ones, a dense layer, no biases",
            {**TINY, "norm_topk_prob": True, "decoder_sparse_step": 2, "qkv_bias": False},
        ),
        "qwen2-moe-four-layers": TinyConfig(
            "dense layers by `mlp_only_layers`, a window in every second layer of the first two",
            {**TINY, **WINDOWS, "num_hidden_layers": 4, "max_window_layers": 2, "mlp_only_layers": [0, 3]},
        ),
    },
    refused=(*rotary.REFUSED, *layers.REFUSED),
)
