"""Attention in nine steps, from dot products to the heads of `layers.attention`.

To be read from top to bottom; `docs/attention_steps.md` adds equations and numbers. Every step is written for one
sequence, x [T,D], and keeps its dtype. Batches, caches, patterns and low precision are left to `layers.attention`,
which no step uses.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.layers.dropout import dropout
from jaxdec.layers.linear import Linear

# 1. Without weights: each token is replaced by a mean of all, weighted by how alike they are.


def without_weights(x_TD: jax.Array) -> jax.Array:
    """softmax(x x^T) x, [T,D]."""
    scores_TS = x_TD @ x_TD.T
    weights_TS = jax.nn.softmax(scores_TS, axis=-1)
    return weights_TS @ x_TD


# 2. The same by hand, for one query.


def one_query(x_TD: jax.Array, query: int) -> jax.Array:
    """Row `query` of `without_weights`, [D], one key after the other."""
    powers = [jnp.exp(jnp.dot(x_TD[query], key_D)) for key_D in x_TD]
    total = sum(powers)
    y_D = jnp.zeros_like(x_TD[query])
    for power, value_D in zip(powers, x_TD, strict=True):
        y_D = y_D + power / total * value_D
    return y_D


# 3. With trained weights: what a token asks for, what it offers and what it gives are three projections of it.


def scaled_scores(q_TC: jax.Array, k_SC: jax.Array) -> jax.Array:
    """q k^T / sqrt(C), [T,S]: dot products of C channels of size one have size sqrt(C), where softmax is all but flat
    or all but one-hot."""
    return q_TC @ k_SC.T / q_TC.shape[-1] ** 0.5


def raw_arrays(x_TD: jax.Array, query_DC: jax.Array, key_DC: jax.Array, value_DC: jax.Array) -> jax.Array:
    """softmax(q k^T / sqrt(C)) v, [T,C] (Vaswani et al. 2017, eq. 1)."""
    weights_TS = jax.nn.softmax(scaled_scores(x_TD @ query_DC, x_TD @ key_DC), axis=-1)
    return weights_TS @ (x_TD @ value_DC)


# 4. The same with linear layers, which own and initialise their arrays.


class Projections(nnx.Module):
    """x [T,D] -> query, key and value, each [T,C]."""

    def __init__(self, width: int, head_dim: int, std: float, *, rngs: nnx.Rngs):
        shape, axes = (width, head_dim), ("embed", "heads")
        self.query = Linear(shape, axes, std, bias=False, rngs=rngs)
        self.key = Linear(shape, axes, std, bias=False, rngs=rngs)
        self.value = Linear(shape, axes, std, bias=False, rngs=rngs)

    def __call__(self, x_TD: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        return self.query(x_TD), self.key(x_TD), self.value(x_TD)


def linear_layers(x_TD: jax.Array, projections: Projections) -> jax.Array:
    """`raw_arrays` of a module, [T,C]."""
    q_TC, k_SC, v_SC = projections(x_TD)
    return jax.nn.softmax(scaled_scores(q_TC, k_SC), axis=-1) @ v_SC


# 5. Causal, the naive way: a token must not see those after it, so their weights are cut off.


def naive_causal_weights(scores_TS: jax.Array) -> jax.Array:
    """Softmax over all keys, those after the query set to zero, each row divided by its sum: [T,S]."""
    weights_TS = jnp.tril(jax.nn.softmax(scores_TS, axis=-1))
    return weights_TS / weights_TS.sum(axis=-1, keepdims=True)


# 6. Causal in one softmax: exp(-inf) = 0, so that a score of -inf takes no weight and nothing is divided twice. The
#    naive way breaks where a later score is so large that all that is left is zero.


def causal_weights(scores_TS: jax.Array) -> jax.Array:
    """Softmax over the keys up to the query, [T,S]."""
    visible_TS = jnp.tril(jnp.ones(scores_TS.shape, bool))
    return jax.nn.softmax(jnp.where(visible_TS, scores_TS, -jnp.inf), axis=-1)


# 7. With dropout: in training, each token now and then does without some of what it would look at.


def causal_head(projections: Projections, x_TD: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """One causal head, [T,C]. A key means training: a share `rate` of the weights is dropped, the rest scaled up."""
    q_TC, k_SC, v_SC = projections(x_TD)
    return dropout(causal_weights(scaled_scores(q_TC, k_SC)), rate, key) @ v_SC


# 8. Several heads: each asks a question of its own; what they gather stands side by side.


class StackedHeads(nnx.Module):
    """x [T,D] -> [T,H C]: a list of single heads."""

    def __init__(self, width: int, heads: int, head_dim: int, std: float, *, rngs: nnx.Rngs):
        self.heads = nnx.List([Projections(width, head_dim, std, rngs=rngs) for _ in range(heads)])

    def __call__(self, x_TD: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
        keys = [None] * len(self.heads) if key is None else jax.random.split(key, len(self.heads))
        parts = [causal_head(head, x_TD, rate, key) for head, key in zip(self.heads, keys, strict=True)]
        return jnp.concatenate(parts, axis=-1)


# 9. The same as three products: the heads' weights stand side by side in one projection, whose output is split.


class SplitHeads(nnx.Module):
    """x [T,D] -> [T,H C]: head h owns channels h C to (h + 1) C of each projection."""

    def __init__(self, width: int, heads: int, head_dim: int, std: float, *, rngs: nnx.Rngs):
        self.heads = heads
        self.projections = Projections(width, heads * head_dim, std, rngs=rngs)

    def __call__(self, x_TD: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
        split = (part.reshape(len(x_TD), self.heads, -1).swapaxes(0, 1) for part in self.projections(x_TD))
        q_HTC, k_HSC, v_HSC = split
        weights_HTS = jax.vmap(causal_weights)(jax.vmap(scaled_scores)(q_HTC, k_HSC))
        y_HTC = dropout(weights_HTS, rate, key) @ v_HSC
        return y_HTC.swapaxes(0, 1).reshape(len(x_TD), -1)
