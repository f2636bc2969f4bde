"""Dropout (Srivastava et al. 2014), scaled while training so that inference is the identity."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def keep_mask(key: jax.Array, rate: float, shape: tuple[int, ...]) -> jax.Array:
    """True where a value survives. Apart, so that a comparison can put the same mask into two frameworks."""
    return jax.random.bernoulli(key, 1.0 - rate, shape)


def dropout(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Zeroes a share `rate` of x and scales the rest by 1 / (1 - rate); without a key, or at rate 0, returns x."""
    if key is None or rate == 0.0:
        return x
    return jnp.where(keep_mask(key, rate, x.shape), x / (1.0 - rate), jnp.zeros((), x.dtype))
