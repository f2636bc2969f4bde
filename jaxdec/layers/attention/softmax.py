"""Softmax over the scores of allowed keys, with an optional sink."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def masked_softmax(scores_BHTS: jax.Array, allowed: jax.Array, sink_H: jax.Array | None = None) -> jax.Array:
    """exp(s) / sum exp(s) over the keys that are `allowed`, which broadcasts to the scores; 0 for the others.

    A sink is one more score per head that takes its share of the weight and gives it to no value (Miller 2023, and
    GPT-OSS).
    A row without an allowed key (a pad on the left of a batch) becomes the uniform mean: not a number would spread
    from its slot in the cache to rows that give it no weight, because 0 * nan is nan.
    """
    if sink_H is None:
        return _softmax(scores_BHTS, allowed)
    rows = scores_BHTS.shape[:-1]
    column = jnp.broadcast_to(sink_H.astype(scores_BHTS.dtype)[None, :, None, None], (*rows, 1))
    allowed = jnp.broadcast_to(allowed, (*allowed.shape[:-1], scores_BHTS.shape[-1]))
    always = jnp.ones((*allowed.shape[:-1], 1), bool)
    joint = _softmax(jnp.concatenate([scores_BHTS, column], -1), jnp.concatenate([allowed, always], -1))
    return joint[..., :-1]


@jax.custom_vjp
def _softmax(scores: jax.Array, allowed: jax.Array) -> jax.Array:
    """The backward pass is written by hand: it needs the result alone; the derived one also keeps what led to it."""
    shifted = jnp.where(allowed, scores, jnp.finfo(scores.dtype).min)
    powers = jnp.exp(shifted - shifted.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _forward(scores: jax.Array, allowed: jax.Array) -> tuple[jax.Array, jax.Array]:
    weights = _softmax(scores, allowed)
    return weights, weights


def _backward(weights: jax.Array, d_weights: jax.Array) -> tuple[jax.Array, None]:
    return weights * (d_weights - (weights * d_weights).sum(-1, keepdims=True)), None


_softmax.defvjp(_forward, _backward)
