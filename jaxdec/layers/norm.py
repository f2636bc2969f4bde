"""Layer normalisation (Ba, Kiros and Hinton 2016, eq. 4), computed in at least float32.

The variance is the mean of squared deviations. Flax's default, E[x^2] - E[x]^2, loses all digits when the mean is large.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec import config
from jaxdec.layers.promotion import at_least_float32


def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array | None, epsilon: float) -> jax.Array:
    """Normalises the last axis: x [..., D], scale [D], bias [D] or None; returns x's shape and dtype."""
    wide = at_least_float32(x)
    centred = wide - wide.mean(-1, keepdims=True)
    y = centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)
    y = y * at_least_float32(jnp.expand_dims(scale, range(x.ndim - 1)))
    if bias is not None:
        y = y + at_least_float32(jnp.expand_dims(bias, range(x.ndim - 1)))
    return y.astype(x.dtype)


class LayerNorm(nnx.Module):
    """Owns `scale` [D], ones, and optionally `bias` [D], zeros."""

    def __init__(self, width: int, cfg: config.LayerNorm, bias: bool):
        self.epsilon = cfg.epsilon
        self.scale = nnx.Param(jnp.ones(width), axes=("embed",))
        self.bias = nnx.Param(jnp.zeros(width), axes=("embed",)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        return layer_norm(x, self.scale[...], None if self.bias is None else self.bias[...], self.epsilon)
