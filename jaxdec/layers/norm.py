"""Layer normalisation (Ba, Kiros and Hinton 2016, eq. 4), and by the root mean square alone (Zhang and Sennrich 2019,
eq. 4), computed in at least float32.

The variance is the mean of squared deviations. Flax's default, E[x^2] - E[x]^2, loses all digits when the mean is
large. The backward pass is written by hand, from the normalised input alone: the derived one keeps and re-reads more
arrays, and is slower on a CPU.
"""

from __future__ import annotations

from functools import partial
from typing import assert_never

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.parts import LayerNorm, Norm, RMSNorm
from jaxdec.layers.promotion import at_least_float32

Residuals = tuple[jax.Array, jax.Array, jax.Array | None, jax.Array | None, jax.Array]


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(x: jax.Array, scale: jax.Array | None, bias: jax.Array | None, epsilon: float) -> jax.Array:
    """Normalises the last axis: x [..., D], scale and bias [D] or None; returns x's shape and dtype."""
    return _forward(x, scale, bias, epsilon)[0]


def _forward(
    x: jax.Array, scale: jax.Array | None, bias: jax.Array | None, epsilon: float
) -> tuple[jax.Array, Residuals]:
    wide = at_least_float32(x)
    centred = wide - wide.mean(-1, keepdims=True)
    inverse_std = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)
    normal = centred * inverse_std
    y = normal if scale is None else normal * at_least_float32(_aligned(scale, x))
    if bias is not None:
        y = y + at_least_float32(_aligned(bias, x))
    return y.astype(x.dtype), (normal, inverse_std, scale, bias, jnp.zeros((), x.dtype))


def _backward(
    epsilon: float, residuals: Residuals, dy: jax.Array
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """With n the normalised input and g = dy * scale: dx = (g - mean(g) - n mean(g n)) / std."""
    normal, inverse_std, scale, bias, like_x = residuals
    dy, leading = at_least_float32(dy), tuple(range(dy.ndim - 1))
    g = dy if scale is None else dy * at_least_float32(_aligned(scale, dy))
    dx = inverse_std * (g - g.mean(-1, keepdims=True) - normal * (g * normal).mean(-1, keepdims=True))
    dscale = None if scale is None else jnp.sum(dy * normal, axis=leading).astype(scale.dtype)
    dbias = None if bias is None else jnp.sum(dy, axis=leading).astype(bias.dtype)
    return dx.astype(like_x.dtype), dscale, dbias


def _aligned(vector_D: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.expand_dims(vector_D, range(x.ndim - 1))


layer_norm.defvjp(_forward, _backward)


class LayerNormModule(nnx.Module):
    """Owns `scale` [D], ones, and `bias` [D], zeros, or only one of them, or neither."""

    def __init__(self, width: int, config: LayerNorm, bias: bool):
        self.epsilon = config.epsilon
        self.scale = nnx.Param(jnp.ones(width), axes=("embed",)) if config.scale else None
        self.bias = nnx.Param(jnp.zeros(width), axes=("embed",)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        scale, bias = (None if part is None else part[...] for part in (self.scale, self.bias))
        return layer_norm(x, scale, bias, self.epsilon)


def rms_norm(x: jax.Array, scale: jax.Array, epsilon: float) -> jax.Array:
    """x / sqrt(mean(x^2) + epsilon) * scale over the last axis; returns x's shape and dtype."""
    wide = at_least_float32(x)
    inverse_rms = jax.lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + epsilon)
    return (wide * inverse_rms * at_least_float32(_aligned(scale, x))).astype(x.dtype)


class RMSNormModule(nnx.Module):
    """Owns `scale` [D], ones."""

    def __init__(self, width: int, config: RMSNorm):
        self.epsilon = config.epsilon
        self.scale = nnx.Param(jnp.ones(width), axes=("embed",))

    def __call__(self, x: jax.Array) -> jax.Array:
        return rms_norm(x, self.scale[...], self.epsilon)


def normalised(norm: LayerNormModule | RMSNormModule | None, x: jax.Array) -> jax.Array:
    """norm(x), or x where there is no norm."""
    return x if norm is None else norm(x)


def make_norm(width: int, config: Norm, bias: bool) -> LayerNormModule | RMSNormModule:
    """The norm that the config asks for. Only a layer norm can have a bias: where its own config leaves that open,
    `bias` says so."""
    match config:
        case LayerNorm():
            return LayerNormModule(width, config, bias if config.bias is None else config.bias)
        case RMSNorm():
            return RMSNormModule(width, config)
        case _:
            assert_never(config)
