"""Attention of one sequence to another (Vaswani et al. 2017, section 3.2.3): queries come from x, keys and values from
a memory, and a query may read every place of it that holds a token.

With x as its own memory it is the encoder's self-attention. Keys and values do not depend on the queries: a decoder
computes them once for each source.
"""

from __future__ import annotations

import jax
from flax import nnx

from jaxdec.config.model import DecoderConfig
from jaxdec.layers.attention.cache import LayerCache
from jaxdec.layers.attention.kernel import Mask, attend
from jaxdec.layers.linear import Linear


class CrossAttention(nnx.Module):
    """x [B,T,D] and a memory of S places -> [B,T,D]."""

    def __init__(self, config: DecoderConfig, residual_std: float, *, rngs: nnx.Rngs):
        inner = config.heads * config.resolved_head_dim
        shape, axes = (config.width, inner), ("embed", "heads")
        self.head_dim, self.dropout = config.resolved_head_dim, config.dropout
        self.query = Linear(shape, axes, config.init_std, config.bias, rngs=rngs)
        self.key = Linear(shape, axes, config.init_std, config.bias, rngs=rngs)
        self.value = Linear(shape, axes, config.init_std, config.bias, rngs=rngs)
        self.out = Linear((inner, config.width), ("heads", "embed"), residual_std, config.bias, rngs=rngs)

    def split_heads(self, x: jax.Array) -> jax.Array:
        """[B,T,H C] -> [B,T,H,C]."""
        return x.reshape(*x.shape[:-1], -1, self.head_dim)

    def read(self, memory_BSD: jax.Array) -> LayerCache:
        """Keys and values of a memory, each [B,S,H,C]."""
        return LayerCache(self.split_heads(self.key(memory_BSD)), self.split_heads(self.value(memory_BSD)))

    def __call__(self, x_BTD: jax.Array, memory: LayerCache, present_BS: jax.Array, key: jax.Array | None) -> jax.Array:
        """`memory` is what `read` returned, `present_BS` is True where it holds a token; a key means training."""
        y_BTHC = attend(
            self.split_heads(self.query(x_BTD)),
            memory.keys,
            memory.values,
            mask=Mask(pattern=None, positions=None, present_BS=present_BS),
            scale=None,
            softcap=None,
            alibi=None,
            sink_H=None,
            dropout=self.dropout,
            key=key,
        )
        return self.out(y_BTHC.reshape(*x_BTD.shape[:-1], -1))
