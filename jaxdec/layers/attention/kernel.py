"""Attention from heads to sums of values: softmax(scale q k^T) v (Vaswani et al. 2017, eq. 1).

Everything calls `attend`: the heads of a decoder, with and without a cache, an encoder and cross-attention.
It is also the one place where a backend is chosen. Today there is one, two plain products with a
softmax between them, which XLA compiles for every device. A fused kernel (cuDNN, Pallas) can be added here with the
same arguments: this is why a mask is described (a pattern, positions, lengths) and not handed over as an array [T,S]. A
backend that is asked for and not available, or that cannot do what its arguments say, is an error: it is never replaced
silently by another.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdec.config.parts import Pattern
from jaxdec.layers.attention.softmax import masked_softmax
from jaxdec.layers.dropout import dropout as dropped
from jaxdec.layers.notes import note
from jaxdec.layers.position import alibi_slopes
from jaxdec.layers.promotion import at_least_float32


class Mask(NamedTuple):
    """Which keys a query may read.

    pattern: the rule between the positions of a query and a key; None: every key.
    positions: those of the queries [B,T] and of the keys [B,S] (1 for B where all rows are alike), negative for pads.
        None: query and key number t both stand at position t, as in a sequence that is read whole.
    present_BS: True where there is a token; None: everywhere.
    starts_BT: the position at which each query's document begins: it reads no key before that, and the pattern goes by
        positions in the document; None: all are one document.
    """

    pattern: Pattern | None
    positions: tuple[jax.Array, jax.Array] | None
    present_BS: jax.Array | None
    starts_BT: jax.Array | None = None


def attend(
    q_BTHC: jax.Array,
    k_BSKC: jax.Array,
    v_BSKC: jax.Array,
    *,
    mask: Mask,
    scale: float | None,
    softcap: float | None,
    alibi: float | None,
    sink_H: jax.Array | None,
    dropout: float,
    key: jax.Array | None,
) -> jax.Array:
    """The output of each query head, [B,T,H,C], in the dtype of the values.

    Query heads k G to k G + G - 1 read key/value head k. `scale` multiplies q k^T (None: 1 / sqrt(C)), a soft cap
    bounds the products, ALiBi lowers them with distance (its value is the exponent of the last head's slope), and the
    sink is one more score per head, whose value is zero. Scores and softmax are in at least float32. With a `key`, a
    share `dropout` of the weights is dropped. Raises ValueError where positions are needed and cannot be known.
    """
    weights_BHTS = attention_weights(
        q_BTHC, k_BSKC, mask=mask, scale=scale, softcap=softcap, alibi=alibi, sink_H=sink_H
    )
    note("attention", weights_BHTS)
    return mix(dropped(weights_BHTS, dropout, key), v_BSKC)


def attention_weights(
    q_BTHC: jax.Array,
    k_BSKC: jax.Array,
    *,
    mask: Mask,
    scale: float | None,
    softcap: float | None,
    alibi: float | None,
    sink_H: jax.Array | None,
) -> jax.Array:
    """The weights [B,H,T,S] by which `attend` mixes the values, before dropout; its arguments are the same."""
    scores_BHTS = scores(q_BTHC, k_BSKC, scale)
    if softcap is not None:
        scores_BHTS = softcap * jnp.tanh(scores_BHTS / softcap)
    if alibi is not None:
        query_BT1, key_B1S = _positions(mask, q_BTHC.shape[1], k_BSKC.shape[1])
        slopes_H = jnp.asarray(alibi_slopes(q_BTHC.shape[2], alibi), scores_BHTS.dtype)
        distance_BTS = (query_BT1 - key_B1S).astype(scores_BHTS.dtype)
        scores_BHTS = scores_BHTS - slopes_H[None, :, None, None] * distance_BTS[:, None]
    return masked_softmax(scores_BHTS, allowed(mask, q_BTHC.shape[1], k_BSKC.shape[1]), sink_H)


def allowed(mask: Mask, queries: int, keys: int) -> jax.Array:
    """True where a query may read a key: bool, broadcasts to [B,H,T,S]."""
    allowed_BTS = jnp.ones((1, 1, 1), bool)
    if mask.starts_BT is not None:
        start_BT1, (query_BT1, key_B1S) = mask.starts_BT[:, :, None], _positions(mask, queries, keys)
        allowed_BTS = key_B1S >= start_BT1
        if mask.pattern is not None:
            allowed_BTS = allowed_BTS & mask.pattern.allowed(query_BT1 - start_BT1, key_B1S - start_BT1)
    elif mask.pattern is not None:
        allowed_BTS = mask.pattern.allowed(*_positions(mask, queries, keys))
    if mask.present_BS is not None:
        allowed_BTS = allowed_BTS & mask.present_BS[:, None, :]
    return allowed_BTS[:, None]


def _positions(mask: Mask, queries: int, keys: int) -> tuple[jax.Array, jax.Array]:
    """Of queries [B,T,1] and of keys [B,1,S]."""
    if mask.positions is not None:
        query_BT, key_BS = mask.positions
        return query_BT[:, :, None], key_BS[:, None, :]
    if queries != keys:
        raise ValueError(f"{queries} queries and {keys} keys are not one sequence: a mask needs their positions")
    slots_1T = jnp.arange(keys)[None]
    return slots_1T[:, :, None], slots_1T[:, None, :]


def scores(q_BTHC: jax.Array, k_BSKC: jax.Array, scale: float | None) -> jax.Array:
    """q k^T times `scale` (None: 1 / sqrt(C)) in at least float32, [B,H,T,S].

    The G query heads of a key head stand one after the other as rows of one product.
    """
    batch, time, heads, head_dim = q_BTHC.shape
    key_heads = k_BSKC.shape[2]
    factor = head_dim**-0.5 if scale is None else scale
    q_BKRC = (q_BTHC * factor).swapaxes(1, 2).reshape(batch, key_heads, -1, head_dim)
    wide = at_least_float32(q_BTHC).dtype
    scores_BKRS = jnp.einsum("bkrc,bksc->bkrs", q_BKRC, k_BSKC.swapaxes(1, 2), preferred_element_type=wide)
    return scores_BKRS.reshape(batch, heads, time, -1)


def mix(weights_BHTS: jax.Array, v_BSKC: jax.Array) -> jax.Array:
    """Sums of values by weight, [B,T,H,C], in the dtype of the values."""
    batch, heads, time, keys = weights_BHTS.shape
    weights_BKRS = weights_BHTS.astype(v_BSKC.dtype).reshape(batch, v_BSKC.shape[2], -1, keys)
    y_BKRC = jnp.einsum("bkrs,bksc->bkrc", weights_BKRS, v_BSKC.swapaxes(1, 2))
    return y_BKRC.reshape(batch, heads, time, -1).swapaxes(1, 2)
