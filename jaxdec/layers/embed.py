"""Embedding tables: of tokens (also read backwards, as a tied head) and of positions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.layers.linear import logits


class Embed(nnx.Module):
    """Owns `embedding` [rows, D], drawn from normal(0, std)."""

    def __init__(self, shape: tuple[int, int], axes: tuple[str | None, str], std: float, *, rngs: nnx.Rngs):
        self.embedding = nnx.Param(std * jax.random.normal(rngs.params(), shape), axes=axes)

    def __call__(self, ids: jax.Array, dtype: jnp.dtype) -> jax.Array:
        """Rows `ids` of the table, in `dtype`: [...] -> [..., D]."""
        return jnp.take(self.embedding[...], ids, axis=0, mode="clip").astype(dtype)

    def attend(self, x: jax.Array) -> jax.Array:
        """Logits of the tied head (Press and Wolf 2017): [..., D] -> [..., rows], in at least float32."""
        return logits(x, self.embedding[...].T)
