"""Adapters in the layout of `peft`: `adapter_config.json`, and `adapter_model.safetensors` with a `lora_A` [r, in] and
a `lora_B` [out, r] for each linear module of a transformers model.

Where such a module holds several of our layers (GPT-2's `c_attn` is query, key and value), their adapters become one of
as many times the rank: the rows of `lora_A` below each other, the columns of `lora_B` in blocks that are zero but for
the layer's own outputs. That is the same function, with more numbers. `alpha_pattern` keeps alpha / r as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.files import write_json
from jaxdec.config.model import DecoderConfig
from jaxdec.config.trainable import LoRA
from jaxdec.errors import UserError
from jaxdec.weights.entries import Entry
from jaxdec.weights.formats.safetensors import write_safetensors
from jaxdec.weights.huggingface.registry import module_rules
from jaxdec.weights.lora import A, B, is_adapter, weight_of
from jaxdec.weights.ops import OpError, place, transposes
from jaxdec.weights.plan import WeightPlan
from jaxdec.weights.rules import WeightRules
from jaxdec.weights.stream import LazyArray

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX, WEIGHT = "base_model.model.", ".weight"


@dataclass(frozen=True)
class Given:
    """A tensor that is there."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def read(self) -> np.ndarray:
        return self.array


def write_adapter(
    path: Path, arrays: Mapping[str, LazyArray], config: DecoderConfig, family: str, lora: LoRA, base: str
) -> None:
    """Writes the adapters among our flat parameters into an empty folder. `base` is where the model without them is,
    a Hugging Face folder or hub id. Raises UserError for adapters that the layout has no place for."""
    modules = adapted_modules(arrays, config, family)
    tensors: dict[str, Given] = {}
    for name, module in modules.items():
        a, b = module.factors(arrays)
        tensors |= {f"{PREFIX}{name}.lora_A.weight": Given(a), f"{PREFIX}{name}.lora_B.weight": Given(b)}
    write_safetensors(path / WEIGHTS, tensors, {"format": "pt"})
    fused = {name: len(module.layers) for name, module in modules.items() if len(module.layers) > 1}
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": sorted(modules),
        "rank_pattern": {name: count * lora.rank for name, count in fused.items()},
        "alpha_pattern": {name: count * lora.alpha for name, count in fused.items()},
        "fan_in_fan_out": not any(module.transposed for module in modules.values()),
        "bias": "none",
        "inference_mode": True,
    }
    write_json(path / CONFIG, settings)


def module_plan(arrays: Mapping[str, Any], config: DecoderConfig, family: str) -> WeightPlan:
    """Which parameter of transformers' modules holds each of ours."""
    table = WeightRules.parse(module_rules(config, family))
    return table.plan(arrays, table.reference_shapes(arrays))


@dataclass(frozen=True)
class Module:
    """A linear module of transformers, and those of our layers in it that have adapters; `shape` is its weight's."""

    name: str
    shape: tuple[int, ...]
    layers: tuple[Entry, ...]

    @property
    def transposed(self) -> bool:
        """Whether its weight is torch's [out, in]; otherwise it is [in, out], as ours and Conv1D's."""
        return transposes(self.layers[0].rule.ops)

    def factors(self, arrays: Mapping[str, LazyArray]) -> tuple[np.ndarray, np.ndarray]:
        """`lora_A` [r, in] and `lora_B` [out, r]. Raises UserError where it mixes the inputs of our layers, so that no
        two factors say the same."""
        downs, ups = [], []
        for layer in self.layers:
            self.require_factors(layer)
            stem = layer.name.removesuffix("kernel")
            a, b = (np.asarray(arrays[stem + part].read()) for part in (A, B))
            downs.append(a.T)
            ups.append(self.up(layer, b))
        return np.concatenate(downs), np.concatenate(ups, axis=1)

    def up(self, layer: Entry, b: np.ndarray) -> np.ndarray:
        """[out, rank]: B [rank, out of the layer] in its places among the outputs of the module, zero elsewhere."""
        rank, outputs = len(b), self.shape[0 if self.transposed else 1]
        whole = np.zeros((outputs, rank) if self.transposed else (rank, outputs), b.dtype)
        place(layer.rule.ops, b, whole)
        return whole if self.transposed else whole.T

    def require_factors(self, layer: Entry) -> None:
        """Tries it with whole numbers, whose products are exact."""
        draw = np.random.default_rng(0)
        a, b = (draw.integers(-4, 5, size).astype(np.float64) for size in ((layer.shape[0], 2), (2, layer.shape[1])))
        whole = np.zeros(self.shape)
        try:
            place(layer.rule.ops, a @ b, whole)
            made = self.up(layer, b) @ a.T
            same = np.array_equal(made if self.transposed else made.T, whole)
        except (OpError, ValueError):
            same = False
        if not same:
            raise UserError(
                f"peft's layout cannot say the adapter of {layer.name}: {self.name} holds it in another form"
            )


def adapted_modules(arrays: Mapping[str, Any], config: DecoderConfig, family: str) -> dict[str, Module]:
    """transformers' modules that hold layers with an adapter, by name."""
    weights = {weight_of(name) for name in arrays if name.endswith(A)}
    base = {name: array for name, array in arrays.items() if not is_adapter(name)}
    if stacked := sorted(name for name in weights if len(base[name].shape) != 2):
        raise UserError(
            f"peft's layout has no place for adapters of stacked experts ({stacked[0]}): choose another --to, where "
            "adapters are merged"
        )
    plan = module_plan(base, config, family)
    found: dict[str, list[Entry]] = {}
    for entry in plan.entries:
        if entry.name in weights:
            found.setdefault(entry.sources[0], []).append(entry)
    return {
        source.removesuffix(WEIGHT): Module(source.removesuffix(WEIGHT), plan.reference_shapes[source], tuple(entries))
        for source, entries in found.items()
    }
