"""The two weight inits with which models are compared, because some differences show with only one of them.

"init" weights are small: epsilons show. "generic" ones give activations of order one, with random norms and biases: the
form of the activation, head order and transposed kernels show. Both are exact in float32, so that a float32 run and
its float64 oracle start from the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def generic_weights(shapes: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
    """float64 arrays for `shapes` (anything with a `.shape`), drawn by the last part of each name.

    Kernels [in, out] keep the variance of their input, embeddings are standard normal, scales lie around one and biases
    (and all other vectors) around zero with a spread of one half; other leaves count as kernels whose next to last axis
    is the input.
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name].shape)
        draw = rng.standard_normal(shape)
        leaf = name.rpartition(".")[2]
        if leaf == "scale":
            draw = 1 + 0.5 * draw
        elif leaf.endswith("bias") or len(shape) == 1:
            draw = 0.5 * draw
        elif leaf != "embedding":
            draw = draw / shape[-2] ** 0.5
        weights[name] = draw.astype(np.float32).astype(np.float64)
    return weights


def as_float64(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A model's own initial weights, rounded to float32 and held in float64: the "init" weights."""
    return {name: np.asarray(value, np.float32).astype(np.float64) for name, value in params.items()}
