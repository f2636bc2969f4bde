"""Multi-head causal self-attention (Vaswani et al. 2017, eq. 1), with and without a KV cache.

Grouped queries, rotary positions, norms of queries and keys, and the pattern of a layer are values of its config.
Projections are four separate parameters; the three that read the same input run as one product. What happens between
the projections is `kernel.attend`.
"""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import Learned, NoPosition, RoPE, Sinusoidal
from jaxdec.layers.attention.cache import Cache, LayerCache, extend
from jaxdec.layers.attention.kernel import Mask, attend
from jaxdec.layers.linear import Linear, side_by_side
from jaxdec.layers.norm import RMSNormModule, normalised
from jaxdec.layers.position import rotate


class Heads(nnx.Module):
    """x [B,T,D] -> [B,T,H C]: the outputs of H heads of size C, concatenated."""

    def __init__(self, config: DecoderConfig, layer: int, *, rngs: nnx.Rngs):
        std, bias = config.init_std, config.qkv_bias
        queries, keys = (heads * config.resolved_head_dim for heads in (config.heads, config.resolved_kv_heads))
        pattern = config.attention_of(layer)
        self.config, self.pattern, self.position = config, pattern, config.position_of(layer)
        self.query = Linear((config.width, queries), ("embed", "heads"), std, bias, rngs=rngs)
        self.key = Linear((config.width, keys), ("embed", "heads"), std, bias, rngs=rngs)
        self.value = Linear((config.width, keys), ("embed", "heads"), std, bias, rngs=rngs)
        match config.qk_norm_over:
            case "head":
                sizes = (config.resolved_head_dim, config.resolved_head_dim)
            case "all":
                sizes = (queries, keys)
            case _:
                assert_never(config.qk_norm_over)
        norms = [RMSNormModule(size, config.qk_norm) if config.qk_norm else None for size in sizes]
        self.query_norm, self.key_norm = norms
        self.sink = None if pattern.sink is None else nnx.Param(jnp.full(config.heads, pattern.sink), axes=("heads",))

    def project(self, x_BTD: jax.Array, positions_BT: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Query [B,T,H,C], key and value [B,T,K,C]."""
        config = self.config
        q, k, v = side_by_side(x_BTD, (self.query, self.key, self.value))
        if config.qk_norm_over == "all":
            q, k = normalised(self.query_norm, q), normalised(self.key_norm, k)
        q, k, v = (part.reshape(*x_BTD.shape[:-1], -1, config.resolved_head_dim) for part in (q, k, v))
        if config.qk_norm_over == "head":
            q, k = normalised(self.query_norm, q), normalised(self.key_norm, k)
        if config.qkv_clip is not None:
            q, k, v = (jnp.clip(part, -config.qkv_clip, config.qkv_clip) for part in (q, k, v))
        match self.position:
            case RoPE() as rope:
                q, k = rotate(q, positions_BT, rope), rotate(k, positions_BT, rope)
            case Learned() | Sinusoidal() | NoPosition():  # of the embeddings, or of the scores (ALiBi)
                pass
            case _:
                assert_never(self.position)
        return q, k, v

    def __call__(
        self,
        x_BTD: jax.Array,
        positions_BT: jax.Array,
        cache: Cache | None,
        layer: LayerCache | None,
        key: jax.Array | None,
        starts_BT: jax.Array | None = None,
    ) -> tuple[jax.Array, LayerCache | None]:
        """`positions_BT` ([B,T] or [1,T]) are negative for pads. `cache` gives length and padding, `layer` is this
        layer's part of it; both are None where x is a whole sequence, whose positions are 0 to T - 1. `starts_BT` says
        where the document of each token begins; None: at 0."""
        in_document_BT = positions_BT if starts_BT is None else positions_BT - starts_BT
        q_BTHC, k_BSKC, v_BSKC = self.project(x_BTD, in_document_BT)
        mask = Mask(self.pattern, None, None, starts_BT)
        if cache is not None and layer is not None:
            layer, (k_BSKC, v_BSKC, keys_BS) = extend(layer, k_BSKC, v_BSKC, positions_BT, cache, self.pattern)
            k_BSKC, v_BSKC = k_BSKC.astype(q_BTHC.dtype), v_BSKC.astype(q_BTHC.dtype)
            mask = Mask(self.pattern, (positions_BT, keys_BS), keys_BS >= 0, starts_BT)
        y_BTHC = attend(
            q_BTHC,
            k_BSKC,
            v_BSKC,
            mask=mask,
            scale=self.config.score_scale,
            softcap=self.pattern.softcap,
            alibi=self.pattern.alibi,
            sink_H=None if self.sink is None else self.sink[...],
            dropout=self.config.dropout,
            key=key,
        )
        return y_BTHC.reshape(*x_BTD.shape[:-1], -1), layer


class Attention(Heads):
    """x [B,T,D] -> [B,T,D]: the heads, and the projection `out` of their outputs."""

    def __init__(self, config: DecoderConfig, layer: int, residual_std: float, *, rngs: nnx.Rngs):
        super().__init__(config, layer, rngs=rngs)
        shape = (config.heads * config.resolved_head_dim, config.width)
        self.out = Linear(shape, ("heads", "embed"), residual_std, config.out_bias, rngs=rngs)

    def __call__(
        self,
        x_BTD: jax.Array,
        positions_BT: jax.Array,
        cache: Cache | None,
        layer: LayerCache | None,
        key: jax.Array | None,
        starts_BT: jax.Array | None = None,
    ) -> tuple[jax.Array, LayerCache | None]:
        y_BTD, layer = super().__call__(x_BTD, positions_BT, cache, layer, key, starts_BT)
        return self.out(y_BTD), layer
