"""Linear projection. Parameters stay 2-D and unfused; heads are reshaped by the caller.

Tokens are flattened to one axis before the product: the gradient of the 3-D form compiles to a slower program on CPU.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx


def linear(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    """`x @ kernel + bias` in x's dtype. x: [..., in], kernel: [in, out], bias: [out]; returns [..., out]."""
    y = x.reshape(-1, x.shape[-1]) @ kernel.astype(x.dtype)
    if bias is not None:
        y = y + bias.astype(x.dtype)[None, :]
    return y.reshape(*x.shape[:-1], kernel.shape[-1])


def logits(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x @ kernel` for a head: multiplied in x's dtype and kept in at least float32, since rounded logits are rounded
    losses. x: [..., D], kernel: [D, V]; returns [..., V]."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    y = jnp.matmul(x.reshape(-1, x.shape[-1]), kernel.astype(x.dtype), preferred_element_type=wide)
    return y.reshape(*x.shape[:-1], y.shape[-1])


class Linear(nnx.Module):
    """Owns `kernel` [in, out], drawn from normal(0, std), and optionally a zero `bias` [out].

    `axes` names the logical axes of the kernel for `sharding.RULES`.
    """

    def __init__(self, shape: tuple[int, int], axes: tuple[str, str], std: float, bias: bool, *, rngs: nnx.Rngs):
        self.kernel = nnx.Param(std * jax.random.normal(rngs.params(), shape), axes=axes)
        self.bias = nnx.Param(jnp.zeros(shape[1]), axes=axes[1:]) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        return linear(x, self.kernel[...], None if self.bias is None else self.bias[...])
