"""What the families with mixtures of gated experts in some layers share: which layers those are, and their files."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import GatedMLP, MoE
from jaxdec.weights.huggingface import layers, llama_like
from jaxdec.weights.huggingface.family import need
from jaxdec.weights.huggingface.llama_like import BLOCK, LAYER
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, under

# Files hold each matrix of each expert by itself.
FILES = {
    "mlp.experts.gate": "mlp.experts.{e}.gate_proj.weight : T",
    "mlp.experts.up": "mlp.experts.{e}.up_proj.weight : T",
    "mlp.experts.down": "mlp.experts.{e}.down_proj.weight : T",
}


def files(config: DecoderConfig) -> Table:
    return under(BLOCK, LAYER, FILES)


def read_layers(settings: HFSettings, **parts: Any) -> Any:
    """Feed-forward layers as the shortest tuple that repeats: every `decoder_sparse_step`-th is a mixture, but for
    `mlp_only_layers`. `parts` are fields of the mixture."""
    count, step = settings.whole("num_hidden_layers"), settings.count("decoder_sparse_step")
    expert = llama_like.read_gated(settings, "moe_intermediate_size")
    mixture = llama_like.read_mixture(settings, expert, gates=read_gates(settings), **parts)
    mixed = [layer not in (settings("mlp_only_layers") or []) and (layer + 1) % step == 0 for layer in range(count)]
    return layers.shortest([mixture if each else llama_like.read_gated(settings) for each in mixed])


def read_gates(settings: HFSettings) -> str:
    """What the softmax of the router goes over: a sum of one over the chosen is a softmax over them alone."""
    return "chosen" if settings("norm_topk_prob") else "all"


def write_layers(config: DecoderConfig) -> tuple[dict[str, Any], MoE]:
    """The settings of the feed-forward layers, and the mixture, which all mixed layers have."""
    kinds = {layer: config.mlp_of(layer) for layer in range(config.layers)}
    mixture = need(next((each for each in kinds.values() if isinstance(each, MoE)), config.mlp), MoE, "mlp")
    expert = need(mixture.expert, GatedMLP, "mlp.expert")
    dense = {layer: need(each, GatedMLP, "mlp") for layer, each in kinds.items() if not isinstance(each, MoE)}
    return {
        "num_experts": mixture.experts,
        "num_experts_per_tok": mixture.top_k,
        "norm_topk_prob": mixture.gates == "chosen",
        "moe_intermediate_size": expert.hidden,
        "intermediate_size": next((each.hidden for each in dense.values()), expert.hidden),
        "hidden_act": activation_name(expert.activation),
        "decoder_sparse_step": 1,
        "mlp_only_layers": list(dense),
    }, mixture
