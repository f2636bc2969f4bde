"""Multi-head causal self-attention (Vaswani et al. 2017, eq. 1), with and without a KV cache.

Projections are four separate parameters; the three that read the same input run as one product. Scores and softmax are
kept in at least float32, weights go back to the compute dtype for the second product.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config import ModelConfig
from jaxdec.layers.cache import Cache, LayerCache, extend
from jaxdec.layers.dropout import dropout
from jaxdec.layers.linear import Linear, linear
from jaxdec.layers.masks import causal
from jaxdec.layers.promotion import at_least_float32


@jax.custom_vjp
def masked_softmax(scores: jax.Array, visible: jax.Array) -> jax.Array:
    """exp(s) / sum exp(s) over the last axis, 0 where not visible; `visible` broadcasts to `scores`.

    A row that sees nothing (a pad on the left of a batch) becomes the uniform mean: not a number would spread from its
    slot in the cache to rows that give it no weight, because 0 * nan is nan.
    The backward pass is written by hand: it needs the result alone, where the derived one also keeps what led to it.
    """
    shifted = jnp.where(visible, scores, jnp.finfo(scores.dtype).min)
    powers = jnp.exp(shifted - shifted.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _masked_softmax_forward(scores: jax.Array, visible: jax.Array) -> tuple[jax.Array, jax.Array]:
    weights = masked_softmax(scores, visible)
    return weights, weights


def _masked_softmax_backward(weights: jax.Array, d_weights: jax.Array) -> tuple[jax.Array, None]:
    return weights * (d_weights - (weights * d_weights).sum(-1, keepdims=True)), None


masked_softmax.defvjp(_masked_softmax_forward, _masked_softmax_backward)


def attend(
    q_BTHC: jax.Array, k_BSHC: jax.Array, v_BSHC: jax.Array, visible: jax.Array, rate: float, key: jax.Array | None
) -> jax.Array:
    """softmax(q k^T / sqrt(C)) v over the keys that are `visible`, which broadcasts to [B,H,T,S]; returns [B,T,H,C]."""
    q_BHTC, k_BHSC, v_BHSC = (part.swapaxes(1, 2) for part in (q_BTHC, k_BSHC, v_BSHC))
    wide = at_least_float32(q_BHTC).dtype
    scores_BHTS = jnp.einsum("bhtc,bhsc->bhts", q_BHTC * q_BHTC.shape[-1] ** -0.5, k_BHSC, preferred_element_type=wide)
    weights_BHTS = dropout(masked_softmax(scores_BHTS, visible), rate, key)
    return jnp.einsum("bhts,bhsc->bhtc", weights_BHTS.astype(v_BHSC.dtype), v_BHSC).swapaxes(1, 2)


class Attention(nnx.Module):
    """x [B,T,D] -> [B,T,D] through H heads of C = D / H channels."""

    def __init__(self, config: ModelConfig, residual_std: float, *, rngs: nnx.Rngs):
        square = (config.width, config.width)
        self.heads, self.dropout = config.heads, config.dropout
        self.query = Linear(square, ("embed", "heads"), config.init_std, config.bias, rngs=rngs)
        self.key = Linear(square, ("embed", "heads"), config.init_std, config.bias, rngs=rngs)
        self.value = Linear(square, ("embed", "heads"), config.init_std, config.bias, rngs=rngs)
        self.out = Linear(square, ("heads", "embed"), residual_std, config.bias, rngs=rngs)

    def project(self, x_BTD: jax.Array) -> list[jax.Array]:
        """Query, key and value, each [B,T,H,C]: one product, since three narrow ones are slower."""
        parts = (self.query, self.key, self.value)
        kernel = jnp.concatenate([part.kernel[...] for part in parts], axis=1)
        biases = [part.bias[...] for part in parts if part.bias is not None]
        joint = linear(x_BTD, kernel, jnp.concatenate(biases) if biases else None)
        return [part.reshape(*x_BTD.shape[:-1], self.heads, -1) for part in jnp.split(joint, 3, axis=-1)]

    def __call__(
        self, x_BTD: jax.Array, cache: Cache | None, layer: LayerCache | None, key: jax.Array | None
    ) -> tuple[jax.Array, LayerCache | None]:
        """`cache` gives length and padding, `layer` is this layer's part of it; both None while training."""
        q_BTHC, k_BSHC, v_BSHC = self.project(x_BTD)
        slots_T = jnp.arange(x_BTD.shape[1])
        if cache is None or layer is None:
            visible = causal(slots_T[:, None], slots_T[None, :])[None, None]
        else:
            layer = extend(layer, k_BSHC, v_BSHC, cache.length)
            k_BSHC, v_BSHC = (part.astype(q_BTHC.dtype) for part in layer)
            slots_S = jnp.arange(k_BSHC.shape[1])
            ahead_TS = causal(slots_T[:, None] + cache.length, slots_S[None, :])
            filled_BS = slots_S[None, :] >= cache.padding_B[:, None]
            visible = ahead_TS[None, None] & filled_BS[:, None, None]
        y_BTHC = attend(q_BTHC, k_BSHC, v_BSHC, visible, self.dropout, key)
        return self.out(y_BTHC.reshape(x_BTD.shape)), layer
