"""Adam on recorded gradients, with every option in which optimizers differ: the direction of each update, without its
length."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxdec.parity.adapters import adamw
from jaxdec.parity.adapters.adamw import direction, moments

PLAIN: dict[str, Any] = {
    "betas": adamw.BETAS,
    "epsilon": adamw.EPSILON,
    "form": adamw.PLAIN,
    "clip": None,  # (by "all gradients" or "each tensor", the norm allowed, what is added to the norm)
    "coupled": None,  # (decay added to gradients, of "all" or "matrices")
}


class Given(NamedTuple):
    """Samples of all tensors side by side, [n] each: gradients of each set, parameters before each update; the number
    of the tensor that an element belongs to; the norms of whole sets, and of whole tensors [tensors] in each set."""

    grads: list[np.ndarray]
    params: list[np.ndarray]
    tensor: np.ndarray
    norms: np.ndarray
    tensor_norms: list[np.ndarray]
    matrices: np.ndarray  # bool [tensors]


def directions(given: Given, options: dict[str, Any]) -> list[np.ndarray]:
    """What the learning rate multiplies, after each set."""
    m = v = np.zeros_like(given.grads[0])
    found = []
    for step, grad in enumerate(given.grads, start=1):
        grad = grad * clip_factor(given, step - 1, options["clip"])
        if options["coupled"] is not None:
            decay, of = options["coupled"]
            grad = grad + decay * given.params[step - 1] * (given.matrices[given.tensor] if of == "matrices" else 1)
        m, v = moments(m, v, grad, options["betas"])
        found.append(direction(np, m, v, grad, step, options["betas"], options["epsilon"], options["form"]))
    return found


def clip_factor(given: Given, place: int, clip: tuple[str, float, float] | None) -> np.ndarray | float:
    if clip is None:
        return 1.0
    by, most, epsilon = clip
    if by == "all gradients":
        return min(1.0, most / (given.norms[place] + epsilon))
    return np.minimum(1.0, most / (given.tensor_norms[place] + epsilon))[given.tensor]
