"""torch's AdamW with its defaults, for candidates that bring no optimizer of their own.

optax's computes 1 - b2^t in float32 from the rounded b2: with b2 = 0.999 that is 1.3e-5 off at the first step, and a
whole run drifts by it. A check of a model should not see that; who trains with optax gives `optimizer=`, and does.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

RATE, BETA1, BETA2, EPSILON, DECAY = 1e-3, 0.9, 0.999, 1e-8, 0.01


class Moments(NamedTuple):
    count: jax.Array
    first: Any
    second: Any


def torch_adamw() -> optax.GradientTransformation:
    """Loshchilov and Hutter 2019, algorithm 2, as `torch.optim.AdamW(parameters)`: every parameter decays."""
    return optax.chain(_direction(), optax.add_decayed_weights(DECAY), optax.scale(-RATE))


def _direction() -> optax.GradientTransformation:
    def init(params: Any) -> Moments:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Moments(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Moments]:
        count = state.count + 1
        first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state.first, updates)
        second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, state.second, updates)
        correction1, correction2 = (-jnp.expm1(count * math.log(beta)) for beta in (BETA1, BETA2))

        def step(m: jax.Array, v: jax.Array) -> jax.Array:
            denominator = jnp.sqrt(v) / jnp.sqrt(correction2).astype(v.dtype) + EPSILON
            return m / correction1.astype(m.dtype) / denominator

        return jax.tree.map(step, first, second), Moments(count, first, second)

    return optax.GradientTransformation(init, update)
