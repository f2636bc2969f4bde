"""Granite's mixtures (IBM 2024): its four multipliers, experts in every layer, and in a second family a shared one."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import GatedMLP, MoE
from jaxdec.weights.huggingface import granite, layers, llama_like
from jaxdec.weights.huggingface.family import Family, TinyConfig, need
from jaxdec.weights.huggingface.llama_like import BLOCK, EXPERTS, LAYER, TINY_MIXTURE
from jaxdec.weights.huggingface.settings import HFSettings, activation_name
from jaxdec.weights.huggingface.tables import Table, under, when

PARAMETERS = {
    "mlp.router.kernel": "block_sparse_moe.router.weight : T",
    **{ours: theirs.replace("mlp.", "block_sparse_moe.") for ours, theirs in EXPERTS.items() if "router" not in ours},
}
# Files have the names of the first release.
FILES = {
    "mlp.router.kernel": "block_sparse_moe.router.layer.weight : T",
    "mlp.experts.gate": "block_sparse_moe.input_linear.weight : chunk(0,2,1) T",
    "mlp.experts.up": "block_sparse_moe.input_linear.weight : chunk(1,2,1) T",
    "mlp.experts.down": "block_sparse_moe.output_linear.weight : T",
}
# Gate and up are the halves of one tensor [2 hidden, width].
SHARED = {
    "mlp.shared.gate.kernel": "shared_mlp.input_linear.weight : chunk(0,2,0) T",
    "mlp.shared.up.kernel": "shared_mlp.input_linear.weight : chunk(1,2,0) T",
    "mlp.shared.down.kernel": "shared_mlp.output_linear.weight : T",
}


def read(settings: HFSettings) -> DecoderConfig:
    """A `shared_intermediate_size` of 0, or none, is no shared expert."""
    expert = llama_like.read_gated(settings)
    shared = llama_like.read_gated(settings, "shared_intermediate_size") if has_shared(settings) else None
    return granite.read(settings, bias=False, mlp=llama_like.read_mixture(settings, expert, shared=shared))


def has_shared(settings: HFSettings) -> bool:
    return settings.model_type == "granitemoeshared" and bool(settings("shared_intermediate_size"))


def write(config: DecoderConfig) -> dict[str, Any]:
    mixture, expert = llama_like.write_mixture(config)
    return {
        **granite.write_shared(config),
        **mixture,
        "intermediate_size": expert.hidden,
        "hidden_act": activation_name(expert.activation),
    }


def write_with_shared(config: DecoderConfig) -> dict[str, Any]:
    shared = need(config.mlp, MoE, "mlp").shared
    return {**write(config), "shared_intermediate_size": (shared and need(shared, GatedMLP, "mlp.shared").hidden) or 0}


def parameters(config: DecoderConfig) -> Table:
    return {**llama_like.parameters(config, {**PARAMETERS, **shared_of(config)})}


def files(config: DecoderConfig) -> Table:
    return under(BLOCK, LAYER, FILES)


def shared_of(config: DecoderConfig) -> Table:
    return when(need(config.mlp, MoE, "mlp").shared is not None, SHARED)


def taps(config: DecoderConfig) -> Table:
    """The sum with a shared expert is no module here."""
    table = {ours: theirs for ours, theirs in granite.taps(config).items() if ours != f"{BLOCK}mlp"}
    alone = when(not shared_of(config), {"mlp": "block_sparse_moe"})
    return {**table, **under(BLOCK, LAYER, {"mlp.router": "block_sparse_moe.router", **alone})}


DEFAULTS = {**granite.DEFAULTS, "num_local_experts": 8, "num_experts_per_tok": 2}
TINY = {**TINY_MIXTURE, **granite.MULTIPLIERS, "num_local_experts": 4}

GRANITEMOE = Family(
    model_type="granitemoe",
    architecture="GraniteMoeForCausalLM",
    summary="as `granite`, with `MoE`, the softmax over the chosen experts",
    read=read,
    write=write,
    parameters=parameters,
    taps=taps,
    files=files,
    defaults=DEFAULTS,
    tiny={"granitemoe": TinyConfig("four multipliers, experts", TINY)},
    refused=granite.REFUSED,
    ignored=layers.IGNORED,
)
GRANITEMOESHARED = Family(
    model_type="granitemoeshared",
    architecture="GraniteMoeSharedForCausalLM",
    summary="as `granitemoe`, with a `shared` expert if `shared_intermediate_size` is not 0",
    read=read,
    write=write_with_shared,
    parameters=parameters,
    taps=taps,
    files=files,
    defaults={**DEFAULTS, "shared_intermediate_size": 0},
    tiny={"granitemoeshared": TinyConfig("a shared expert", {**TINY, "shared_intermediate_size": 40})},
    refused=granite.REFUSED,
    ignored=layers.IGNORED,
)
