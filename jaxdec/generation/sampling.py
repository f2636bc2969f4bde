"""Samplers: pure functions on logits [B,V], composed in the usual order (temperature, top-k, top-p, min-p).

A filter sets the logits of the tokens it drops to -inf, so what it keeps is renormalised by the next softmax, and each
filter works on the renormalised result of the one before. The draw itself is keyed by the token's index and its row
alone: a sample does not depend on how decoding is cut into dispatches, nor on the other rows of its batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxdec.errors import UserError

# Divisors below this one would round to zero in float32; the distribution has collapsed to the maximum long before.
SMALLEST_TEMPERATURE = 1e-30


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Hashable: a compiled program holds it as a constant.

    temperature: divides the logits; 0 takes the most probable token (greedy), 1 samples from the model as it is.
    top_k: keep the k most probable tokens (Fan et al. 2018, section 5.1).
    top_p: keep the fewest most probable tokens whose sum is at least p (Holtzman et al. 2020, eq. 2), in (0, 1].
    min_p: keep tokens at least min_p times as probable as the best one (Nguyen et al. 2024, algorithm 1), in [0, 1].
    None turns a filter off. Equal logits rank by token id, lowest first, as in greedy choice. Raises UserError.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise UserError(f"temperature is {self.temperature}: give 0 (greedy) or a positive number")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top-k is {self.top_k}: give a whole number from 1, or leave it out")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top-p is {self.top_p}: give a number above 0 and up to 1, or leave it out")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise UserError(f"min-p is {self.min_p}: give a number from 0 to 1, or leave it out")

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken, so that keys and filters do not matter."""
        return self.temperature == 0


def keep_below(logits_BV: jax.Array, vocab_size: int | jax.Array) -> jax.Array:
    """Drops the ids from `vocab_size` on: rows that pad the vocabulary and stand for no token."""
    ids_V = jnp.arange(logits_BV.shape[-1])
    return jnp.where(ids_V[None, :] < vocab_size, logits_BV, -jnp.inf)


def with_temperature(logits_BV: jax.Array, temperature: float) -> jax.Array:
    """Logits over `temperature` > 0, shifted so that the largest is 0 and none overflows."""
    shifted_BV = logits_BV - logits_BV.max(-1, keepdims=True)
    return shifted_BV / max(temperature, SMALLEST_TEMPERATURE)


def keep_top_k(logits_BV: jax.Array, k: int) -> jax.Array:
    """Keeps exactly k logits a row, or all V when k is larger."""
    unsigned_BV = jnp.where(logits_BV == 0, 0.0, logits_BV)  # top_k ranks 0 before -0
    _, ids_BK = jax.lax.top_k(unsigned_BV, min(k, logits_BV.shape[-1]))
    rows_B = jnp.arange(logits_BV.shape[0])
    kept_BV = jnp.zeros(logits_BV.shape, bool).at[rows_B[:, None], ids_BK].set(True)
    return jnp.where(kept_BV, logits_BV, -jnp.inf)


def keep_top_p(logits_BV: jax.Array, p: float) -> jax.Array:
    """Keeps a token when those ranked before it hold less than p: the best one always stays."""
    if p == 1:  # a sum that rounds to 1 too early would cut the tail
        return logits_BV
    order_BV = jnp.argsort(logits_BV, axis=-1, descending=True, stable=True)
    probabilities_BV = jax.nn.softmax(jnp.take_along_axis(logits_BV, order_BV, axis=-1), axis=-1)
    before_BV = jnp.cumsum(probabilities_BV, axis=-1) - probabilities_BV
    rows_B = jnp.arange(logits_BV.shape[0])
    kept_BV = jnp.zeros(logits_BV.shape, bool).at[rows_B[:, None], order_BV].set(before_BV < p)
    return jnp.where(kept_BV, logits_BV, -jnp.inf)


def keep_min_p(logits_BV: jax.Array, p: float) -> jax.Array:
    """Keeps a token when its probability is at least p times the largest."""
    if p == 0:
        return logits_BV
    return jnp.where(logits_BV >= logits_BV.max(-1, keepdims=True) + math.log(p), logits_BV, -jnp.inf)


def shape_logits(logits_BV: jax.Array, sampling: Sampling) -> jax.Array:
    """The logits of the distribution that `sampling`, which is not greedy, draws from: [B,V], -inf where dropped."""
    logits_BV = with_temperature(logits_BV, sampling.temperature)
    if sampling.top_k is not None:
        logits_BV = keep_top_k(logits_BV, sampling.top_k)
    if sampling.top_p is not None:
        logits_BV = keep_top_p(logits_BV, sampling.top_p)
    if sampling.min_p is not None:
        logits_BV = keep_min_p(logits_BV, sampling.min_p)
    return logits_BV


def log_probabilities(logits_BV: jax.Array, sampling: Sampling) -> jax.Array:
    """Of every token, [B,V] in nats: of the distribution that `sampling` draws from, or, where it is greedy and draws
    from none, of the model's own."""
    return jax.nn.log_softmax(logits_BV if sampling.greedy else shape_logits(logits_BV, sampling), axis=-1)


def sample(logits_BV: jax.Array, key: jax.Array, index_B: jax.Array, sampling: Sampling) -> jax.Array:
    """One token a row, int32 [B]. Row r, with n = `index_B[r]` tokens before it, uses fold_in(fold_in(key, n), r)."""
    if sampling.greedy:
        return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)

    def draw(logits_V: jax.Array, index: jax.Array, row: jax.Array) -> jax.Array:
        return jax.random.categorical(jax.random.fold_in(jax.random.fold_in(key, index), row), logits_V)

    rows_B = jnp.arange(logits_BV.shape[0])
    return jax.vmap(draw)(shape_logits(logits_BV, sampling), index_B, rows_B).astype(jnp.int32)
