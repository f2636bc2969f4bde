"""Adam's update, once for numpy and for JAX; and torch's AdamW, for candidates that bring no optimizer of their own.

optax's computes 1 - b2^t in float32 from the rounded b2: with b2 = 0.999 that is 1.3e-5 off at the first step, and a
whole run drifts by it. A check of a model should not see that; who trains with optax gives `optimizer=`, and does.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

RATE, BETAS, EPSILON, DECAY = 1e-3, (0.9, 0.999), 1e-8, 0.01
Form = Literal[
    "outside the root, after correction", "inside the root", "before correction", "without correction", "Nesterov"
]
PLAIN: Form = "outside the root, after correction"


def moments(m: Any, v: Any, grad: Any, betas: tuple[float, float]) -> tuple[Any, Any]:
    """The running means of gradients and of their squares, one gradient later."""
    return betas[0] * m + (1 - betas[0]) * grad, betas[1] * v + (1 - betas[1]) * grad * grad


def direction(
    xp: Any, m: Any, v: Any, grad: Any, step: Any, betas: tuple[float, float], epsilon: float, form: Form = PLAIN
) -> Any:
    """What the learning rate multiplies at `step`, counted from 1 (Kingma and Ba 2015, algorithm 1), given the moments
    after it; `xp` is numpy or jax.numpy, `form` where epsilon stands and how moments are corrected. Zero where the
    denominator is."""
    first, second = ((-xp.expm1(step * math.log(beta))).astype(m.dtype) for beta in betas)  # 1 - beta^step, unrounded
    moment, root_of_v = m / first, xp.sqrt(v)
    match form:
        case "outside the root, after correction":
            root = root_of_v / xp.sqrt(second) + epsilon
        case "inside the root":
            root = xp.sqrt(v / second + epsilon)
        case "before correction":
            root = (root_of_v + epsilon) / xp.sqrt(second)
        case "without correction":
            moment, root = m, root_of_v + epsilon
        case "Nesterov":
            ahead = -xp.expm1((step + 1) * math.log(betas[0]))
            moment = betas[0] * m / ahead + (1 - betas[0]) * grad / first
            root = root_of_v / xp.sqrt(second) + epsilon
    return xp.where(root > 0, moment / xp.where(root > 0, root, 1), 0)


class Moments(NamedTuple):
    count: jax.Array
    first: Any
    second: Any


def torch_adamw() -> optax.GradientTransformation:
    """Loshchilov and Hutter 2019, algorithm 2, as `torch.optim.AdamW(parameters)`: every parameter decays."""
    return optax.chain(_adam(), optax.add_decayed_weights(DECAY), optax.scale(-RATE))


def _adam() -> optax.GradientTransformation:
    def init(params: Any) -> Moments:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Moments(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Moments]:
        count = state.count + 1
        both = jax.tree.map(lambda m, v, grad: moments(m, v, grad, BETAS), state.first, state.second, updates)
        first, second = (jax.tree.map(lambda _, pair, at=at: pair[at], updates, both) for at in (0, 1))
        steps = jax.tree.map(lambda m, v, g: direction(jnp, m, v, g, count, BETAS, EPSILON), first, second, updates)
        return steps, Moments(count, first, second)

    return optax.GradientTransformation(init, update)
