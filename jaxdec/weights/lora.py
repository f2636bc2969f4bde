"""Adapters and the weights beside them: W + (alpha / rank) A B is one matrix again (Hu et al. 2021, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from jaxdec.config.trainable import LoRA
from jaxdec.weights.stream import LazyArray

A, B = "lora_a", "lora_b"


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name is an adapter's."""
    return name.endswith((A, B))


def weight_of(name: str) -> str:
    """The parameter that an adapter's stands beside.

    >>> weight_of("blocks.0.mlp.up.lora_a"), weight_of("blocks.0.mlp.experts.up_lora_b")
    ('blocks.0.mlp.up.kernel', 'blocks.0.mlp.experts.up')
    """
    for suffix in (A, B):
        name = name.removesuffix(suffix)
    return f"{name}kernel" if name.endswith(".") else name.removesuffix("_")


def merged_arrays(arrays: Mapping[str, LazyArray], lora: LoRA) -> dict[str, LazyArray]:
    """The parameters of the model without adapters that computes the same. The sum is made in float64 and rounded once,
    to the dtype of the weight."""
    merged = {name: array for name, array in arrays.items() if not is_adapter(name)}
    for name, a in arrays.items():
        if name.endswith(A):
            weight, b = weight_of(name), arrays[name.removesuffix(A) + B]
            merged[weight] = merged[weight].then(partial(with_adapter, a=a, b=b, scale=lora.scale))
    return merged


def with_adapter(weight: np.ndarray, a: LazyArray, b: LazyArray, scale: float) -> np.ndarray:
    """W [..., in, out] + scale A B, in W's dtype. A: [..., in, rank], B: [..., rank, out]."""
    added = scale * (np.asarray(a.read(), np.float64) @ np.asarray(b.read(), np.float64))
    return (np.asarray(weight, np.float64) + added).astype(weight.dtype)
