"""Multi-head causal self-attention (Vaswani et al. 2017, eq. 1), with and without a KV cache.

Grouped queries, rotary positions, norms of queries and keys, and the pattern of a layer are values of its config.
Projections are four separate parameters; the three that read the same input run as one product. Scores and softmax are
kept in at least float32, weights go back to the compute dtype for the second product.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import Pattern
from jaxdec.config.positions import RoPE
from jaxdec.layers.attention.cache import Cache, LayerCache, extend
from jaxdec.layers.attention.softmax import masked_softmax
from jaxdec.layers.dropout import dropout
from jaxdec.layers.linear import Linear, linear
from jaxdec.layers.norm import RMSNormModule, normalised
from jaxdec.layers.position import alibi_slopes, rotate
from jaxdec.layers.promotion import at_least_float32


def scores(q_BTHC: jax.Array, k_BSKC: jax.Array, scale: float | None = None) -> jax.Array:
    """q k^T times `scale` (None: 1 / sqrt(C)) in at least float32, [B,H,T,S].

    Query heads k G to k G + G - 1 read key head k: they stand one after the other as rows of one product.
    """
    batch, time, heads, head_dim = q_BTHC.shape
    key_heads = k_BSKC.shape[2]
    factor = head_dim**-0.5 if scale is None else scale
    q_BKRC = (q_BTHC * factor).swapaxes(1, 2).reshape(batch, key_heads, -1, head_dim)
    wide = at_least_float32(q_BTHC).dtype
    scores_BKRS = jnp.einsum("bkrc,bksc->bkrs", q_BKRC, k_BSKC.swapaxes(1, 2), preferred_element_type=wide)
    return scores_BKRS.reshape(batch, heads, time, -1)


def mix(weights_BHTS: jax.Array, v_BSKC: jax.Array) -> jax.Array:
    """Sums of values, [B,T,H,C]."""
    batch, heads, time, keys = weights_BHTS.shape
    weights_BKRS = weights_BHTS.astype(v_BSKC.dtype).reshape(batch, v_BSKC.shape[2], -1, keys)
    y_BKRC = jnp.einsum("bkrs,bksc->bkrc", weights_BKRS, v_BSKC.swapaxes(1, 2))
    return y_BKRC.reshape(batch, heads, time, -1).swapaxes(1, 2)


class Heads(nnx.Module):
    """x [B,T,D] -> [B,T,H C]: what H heads of C channels gather, side by side."""

    def __init__(self, config: DecoderConfig, pattern: Pattern, *, rngs: nnx.Rngs):
        std, bias = config.init_std, config.qkv_bias
        queries, keys = (heads * config.resolved_head_dim for heads in (config.heads, config.resolved_kv_heads))
        self.config, self.pattern = config, pattern
        self.query = Linear((config.width, queries), ("embed", "heads"), std, bias, rngs=rngs)
        self.key = Linear((config.width, keys), ("embed", "heads"), std, bias, rngs=rngs)
        self.value = Linear((config.width, keys), ("embed", "heads"), std, bias, rngs=rngs)
        counts = (1, 1) if config.qk_norm_over == "head" else (config.heads, config.resolved_kv_heads)
        norms = [
            RMSNormModule(count * config.resolved_head_dim, config.qk_norm) if config.qk_norm else None
            for count in counts
        ]
        self.query_norm, self.key_norm = norms
        self.sink = None if pattern.sink is None else nnx.Param(jnp.full(config.heads, pattern.sink), axes=("heads",))

    def project(self, x_BTD: jax.Array, positions_BT: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Query [B,T,H,C], key and value [B,T,K,C]: one product, since three narrow ones are slower."""
        parts = (self.query, self.key, self.value)
        kernels = [part.kernel[...] for part in parts]
        biases = [part.bias[...] for part in parts if part.bias is not None]
        joint = linear(x_BTD, jnp.concatenate(kernels, axis=1), jnp.concatenate(biases) if biases else None)
        first, second = kernels[0].shape[1], kernels[0].shape[1] + kernels[1].shape[1]
        q, k, v = jnp.split(joint, (first, second), axis=-1)
        if self.config.qk_norm_over == "all":
            q, k = normalised(self.query_norm, q), normalised(self.key_norm, k)
        q, k, v = (part.reshape(*x_BTD.shape[:-1], -1, self.config.resolved_head_dim) for part in (q, k, v))
        if self.config.qk_norm_over == "head":
            q, k = normalised(self.query_norm, q), normalised(self.key_norm, k)
        if isinstance(self.config.position, RoPE):
            q, k = (rotate(part, positions_BT, self.config.position) for part in (q, k))
        return q, k, v

    def weigh(
        self, scores_BHTS: jax.Array, query_BT: jax.Array, key_BS: jax.Array, present: jax.Array | None
    ) -> jax.Array:
        """Attention weights from scores: soft cap, ALiBi, mask, sink, softmax. `present` [B,S]: slots with a token."""
        pattern, query_BT1, key_B1S = self.pattern, query_BT[:, :, None], key_BS[:, None, :]
        visible_BTS = pattern.allowed(query_BT1, key_B1S)
        if present is not None:
            visible_BTS = visible_BTS & present[:, None, :]
        if pattern.softcap is not None:
            scores_BHTS = pattern.softcap * jnp.tanh(scores_BHTS / pattern.softcap)
        if pattern.alibi is not None:
            slopes_H = jnp.asarray(alibi_slopes(self.config.heads, pattern.alibi), scores_BHTS.dtype)
            distance_BTS = (query_BT1 - key_B1S).astype(scores_BHTS.dtype)
            scores_BHTS = scores_BHTS - slopes_H[None, :, None, None] * distance_BTS[:, None]
        return masked_softmax(scores_BHTS, visible_BTS[:, None], None if self.sink is None else self.sink[...])

    def __call__(
        self,
        x_BTD: jax.Array,
        positions_BT: jax.Array,
        cache: Cache | None,
        layer: LayerCache | None,
        key: jax.Array | None,
    ) -> tuple[jax.Array, LayerCache | None]:
        """`positions_BT` ([B,T] or [1,T]) are negative for pads. `cache` gives length and padding, `layer` is this
        layer's part of it; both are None while training."""
        q_BTHC, k_BSKC, v_BSKC = self.project(x_BTD, positions_BT)
        keys_BS, present = positions_BT, None
        if cache is not None and layer is not None:
            layer, (k_BSKC, v_BSKC, keys_BS) = extend(layer, k_BSKC, v_BSKC, positions_BT, cache, self.pattern)
            k_BSKC, v_BSKC = k_BSKC.astype(q_BTHC.dtype), v_BSKC.astype(q_BTHC.dtype)
            present = keys_BS >= 0
        weights_BHTS = self.weigh(scores(q_BTHC, k_BSKC, self.config.score_scale), positions_BT, keys_BS, present)
        y_BTHC = mix(dropout(weights_BHTS, self.config.dropout, key), v_BSKC)
        return y_BTHC.reshape(*x_BTD.shape[:-1], -1), layer


class Attention(Heads):
    """x [B,T,D] -> [B,T,D]: the heads, and the projection `out` of what they gather."""

    def __init__(self, config: DecoderConfig, pattern: Pattern, residual_std: float, *, rngs: nnx.Rngs):
        super().__init__(config, pattern, rngs=rngs)
        shape = (config.heads * config.resolved_head_dim, config.width)
        self.out = Linear(shape, ("heads", "embed"), residual_std, config.out_bias, rngs=rngs)

    def __call__(
        self,
        x_BTD: jax.Array,
        positions_BT: jax.Array,
        cache: Cache | None,
        layer: LayerCache | None,
        key: jax.Array | None,
    ) -> tuple[jax.Array, LayerCache | None]:
        y_BTD, layer = super().__call__(x_BTD, positions_BT, cache, layer, key)
        return self.out(y_BTD), layer
