"""Linear projection. Parameters stay 2-D and unfused; heads are reshaped by the caller."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdec.distributed.sharding import is_split


def rows(x: jax.Array) -> jax.Array:
    """x [B,T,D] as it enters a product: its tokens merged, [B T, D], where no device holds a part of them only.

    On a CPU the gradient of the 3-D product takes 1.7 times as long. Where a mesh splits batch or time, x stays as it
    is: an axis merged from split axes has no simple sharding of its own, and the partitioner may then gather what was
    split.
    """
    return x if is_split("batch") or is_split("time") else x.reshape(-1, x.shape[-1])


def linear(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    """`x @ kernel + bias` in x's dtype. x: [..., in], kernel: [in, out], bias: [out]; returns [..., out]."""
    y = rows(x) @ kernel.astype(x.dtype)
    if bias is not None:
        y = y + jnp.expand_dims(bias.astype(x.dtype), range(y.ndim - 1))
    return y.reshape(*x.shape[:-1], kernel.shape[-1])


def logits(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """`x @ kernel + bias` for a head: multiplied in x's dtype and kept in at least float32, since rounded logits are
    rounded losses. x: [..., D], kernel: [D, V], bias: [V] or None; returns [..., V]."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    y = jnp.matmul(rows(x), kernel.astype(x.dtype), preferred_element_type=wide)
    if bias is not None:
        y = y + jnp.expand_dims(bias.astype(wide), range(y.ndim - 1))
    return y.reshape(*x.shape[:-1], y.shape[-1])


class Linear(nnx.Module):
    """Owns `kernel` [in, out], drawn from normal(0, std), and optionally a zero `bias` [out].

    `axes` names the logical axes of the kernel for `sharding.RULES`.
    """

    def __init__(self, shape: tuple[int, int], axes: tuple[str, str | None], std: float, bias: bool, *, rngs: nnx.Rngs):
        self.axes = axes
        self.kernel = nnx.Param(std * jax.random.normal(rngs.params(), shape), axes=axes)
        self.bias = nnx.Param(jnp.zeros(shape[1]), axes=axes[1:]) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.adapted(x, linear(x, self.kernel[...], None if self.bias is None else self.bias[...]))

    def adapted(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """The output for x, of which y is the product with the kernel: y itself, unless an adapter stands beside it
        (`layers/lora.py`)."""
        return y


def side_by_side(x: jax.Array, layers: Sequence[Linear]) -> list[jax.Array]:
    """The outputs of several layers for the same x, each [..., out].

    One product of their kernels joined end to end, which is faster than several narrow ones; but where a mesh splits
    the outputs, one product each: every kernel would lie across all devices of the joint one, and move before each use.
    """
    if any(is_split(layer.axes[1]) for layer in layers):
        return [layer(x) for layer in layers]
    kernels = [layer.kernel[...] for layer in layers]
    biases = [layer.bias[...] for layer in layers if layer.bias is not None]
    y = linear(x, jnp.concatenate(kernels, axis=1), jnp.concatenate(biases) if biases else None)
    parts = jnp.split(y, np.cumsum([kernel.shape[1] for kernel in kernels])[:-1].tolist(), axis=-1)
    return [layer.adapted(x, part) for layer, part in zip(layers, parts, strict=True)]
