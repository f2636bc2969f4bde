"""Adam in numpy, with every option in which optimizers differ: the direction of each update, but for its length."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

PLAIN: dict[str, Any] = {
    "betas": (0.9, 0.999),
    "epsilon": 1e-8,
    "form": "outside the root, after correction",
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
    """What the learning rate multiplies, after each set (Kingma and Ba 2015, algorithm 1)."""
    beta1, beta2 = options["betas"]
    epsilon, form = options["epsilon"], options["form"]
    m = v = np.zeros_like(given.grads[0])
    found = []
    for t, grad in enumerate(given.grads, start=1):
        grad = grad * clip_factor(given, t - 1, options["clip"])
        if options["coupled"] is not None:
            decay, members = options["coupled"]
            grad = grad + decay * given.params[t - 1] * (given.matrices[given.tensor] if members == "matrices" else 1)
        m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad**2
        first, second = 1 - beta1**t, 1 - beta2**t
        moment = m / first
        if form == "Nesterov":
            moment = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * grad / first
        if form == "without correction":
            moment, second = m, 1.0
        if form == "inside the root":
            root = np.sqrt(v / second + epsilon)
        elif form == "before correction":
            root = (np.sqrt(v) + epsilon) / second**0.5
        else:
            root = np.sqrt(v / second) + epsilon
        found.append(np.divide(moment, root, out=np.zeros_like(moment), where=root > 0))
    return found


def clip_factor(given: Given, place: int, clip: tuple[str, float, float] | None) -> np.ndarray | float:
    if clip is None:
        return 1.0
    by, most, epsilon = clip
    if by == "all gradients":
        return min(1.0, most / (given.norms[place] + epsilon))
    return np.minimum(1.0, most / (given.tensor_norms[place] + epsilon))[given.tensor]
