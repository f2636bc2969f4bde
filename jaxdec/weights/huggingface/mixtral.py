"""Mixtral (Jiang et al. 2024): Mistral whose feed-forward layers are mixtures of experts."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.weights.huggingface import layers, llama_like, mistral, rotary
from jaxdec.weights.huggingface.family import Family, TinyConfig
from jaxdec.weights.huggingface.llama_like import BLOCK, EXPERTS, LAYER, TINY_MIXTURE
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, under

# Files hold each matrix of each expert by itself, under names of the first release.
FILES = {
    "mlp.router.kernel": "block_sparse_moe.gate.weight : T",
    "mlp.experts.gate": "block_sparse_moe.experts.{e}.w1.weight : T",
    "mlp.experts.up": "block_sparse_moe.experts.{e}.w3.weight : T",
    "mlp.experts.down": "block_sparse_moe.experts.{e}.w2.weight : T",
}


def read(settings: HFSettings) -> DecoderConfig:
    mixture = llama_like.read_mixture(settings, llama_like.read_gated(settings))
    return mistral.read(settings, mlp=mixture)


def write(config: DecoderConfig) -> dict[str, Any]:
    mixture, expert = llama_like.write_mixture(config)
    gated = {"intermediate_size": expert.hidden, "hidden_act": activation_name(expert.activation)}
    return {**llama_like.write(config), **mixture, **gated, **layers.write_window(config)}


def parameters(config: DecoderConfig) -> Table:
    return llama_like.parameters(config, EXPERTS)


def files(config: DecoderConfig) -> Table:
    return under(BLOCK, LAYER, FILES)


MIXTRAL = Family(
    model_type="mixtral",
    architecture="MixtralForCausalLM",
    summary="as `mistral`, with `MoE`, the softmax over the chosen experts",
    read=read,
    write=write,
    parameters=parameters,
    taps=llama_like.taps,
    files=files,
    defaults={
        **mistral.DEFAULTS,
        "rope_theta": 1e6,
        "rms_norm_eps": 1e-5,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
    tiny={"mixtral": TinyConfig("experts", {**TINY_MIXTURE, "num_local_experts": 4})},
    refused=rotary.REFUSED,
    ignored=layers.IGNORED,
)
