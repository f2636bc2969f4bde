"""Targets for a batch of sources: the most probable token at each step, or a beam of the best prefixes.

Both are one compiled loop over a KV cache; the source's keys and values are computed once. A target is made of the
tokens up to and with its end, or of as many as there is room for.

A beam keeps `width` hypotheses a source, ended ones among them. At each step all continuations of those that have not
ended compete with the ended ones by score, log p / lp(length), where lp(n) = ((5 + n) / 6)^a (Wu et al. 2016, eq. 14,
without their coverage term); a = 0 compares plain log-probabilities. A beam of width 1 is greedy decoding; a wider one
usually finds better targets, though any prefix may be dropped. One as wide as the number of targets is exhaustive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdec.errors import UserError
from jaxdec.generation.sampling import keep_below
from jaxdec.layers.attention.cache import Cache, empty_cache
from jaxdec.layers.promotion import at_least_float32
from jaxdec.models.encoder_decoder import Memory
from jaxdec.models.functional import Model, Params


@dataclass(frozen=True)
class Beam:
    """How many hypotheses are kept, and the exponent a of the length normalisation. Raises UserError."""

    width: int
    length_penalty: float

    def __post_init__(self) -> None:
        if self.width < 1:
            raise UserError(f"beam is {self.width}: give a whole number from 1, which is greedy decoding")
        if not 0 <= self.length_penalty < float("inf"):
            raise UserError(f"length-penalty is {self.length_penalty}: give 0 or more")


class Targets(NamedTuple):
    """One target for each of B sources: tokens [B,N] with the end, which also fills the rows up; how many they are;
    their log-probability, ends included, in nats."""

    tokens_BN: jax.Array
    counts_B: jax.Array
    log_p_B: jax.Array


Vocabulary = tuple[jax.Array, jax.Array]  # the token that begins and ends targets; ids from the second on are none


def length_norm(counts: jax.Array, length_penalty: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """What log-probabilities of targets of so many tokens are divided by, in `dtype`."""
    return ((5 + counts.astype(dtype)) / 6) ** length_penalty.astype(dtype)


def read_sources(
    model: Model, params: Params, source_BS: jax.Array, source_mask_BS: jax.Array, width: int, length: int
) -> tuple[Memory, Cache]:
    """Encoded sources, each `width` times one after the other, and an empty cache for targets of `length` tokens."""
    dtype = jnp.dtype(model.precision.compute)
    memory = model.module(params).encode(source_BS, source_mask_BS, dtype)
    memory = jax.tree.map(lambda part: jnp.repeat(part, width, axis=0), memory)
    return memory, empty_cache(model.config, jnp.zeros(source_BS.shape[0] * width, jnp.int32), length, dtype)


def next_log_p(
    model: Model, params: Params, newest_B: jax.Array, memory: Memory, cache: Cache, vocab_size: jax.Array
) -> tuple[jax.Array, Cache]:
    """Log-probabilities of the token after the newest one, [B,V], and the cache with that one read."""
    dtype = jnp.dtype(model.precision.compute)
    output = model.module(params).decode(newest_B[:, None], memory, dtype, cache)
    return jax.nn.log_softmax(at_least_float32(keep_below(output.logits_BTV[:, 0], vocab_size)), axis=-1), output.cache


@partial(jax.jit, static_argnames=("model", "length"))
def greedy(
    model: Model,
    params: Params,
    source_BS: jax.Array,
    source_mask_BS: jax.Array,
    vocabulary: Vocabulary,
    *,
    length: int,
) -> Targets:
    """Targets of at most `length` tokens; of equally probable ones the lowest id is taken."""
    boundary, vocab_size = vocabulary
    memory, cache = read_sources(model, params, source_BS, source_mask_BS, 1, length)

    def goes_on(carry: tuple) -> jax.Array:
        return (carry[0] < length) & carry[3].any()

    def advance(carry: tuple) -> tuple:
        step, cache, newest_B, live_B, (tokens_BN, counts_B, sums_B) = carry
        log_p_BV, cache = next_log_p(model, params, newest_B, memory, cache, vocab_size)
        newest_B = jnp.where(live_B, jnp.argmax(log_p_BV, axis=-1).astype(jnp.int32), boundary)
        sums_B = sums_B + jnp.where(live_B, jnp.max(log_p_BV, axis=-1), 0)
        tokens_BN = jax.lax.dynamic_update_slice_in_dim(tokens_BN, newest_B[:, None], step, axis=1)
        live_after_B = live_B & (newest_B != boundary)
        return step + 1, cache, newest_B, live_after_B, (tokens_BN, counts_B + live_B, sums_B)

    rows = source_BS.shape[0]
    start_B = jnp.full(rows, boundary, jnp.int32)
    wide = jnp.promote_types(model.precision.compute, jnp.float32)
    nothing = (jnp.full((rows, length), boundary, jnp.int32), jnp.zeros(rows, jnp.int32), jnp.zeros(rows, wide))
    carry = (jnp.zeros((), jnp.int32), cache, start_B, jnp.ones(rows, bool), nothing)
    return Targets(*jax.lax.while_loop(goes_on, advance, carry)[4])


@partial(jax.jit, static_argnames=("model", "length", "width"))
def beam_search(
    model: Model,
    params: Params,
    source_BS: jax.Array,
    source_mask_BS: jax.Array,
    vocabulary: Vocabulary,
    length_penalty: jax.Array,
    *,
    length: int,
    width: int,
) -> Targets:
    """The targets of at most `length` tokens with the best score that a beam of `width` W finds."""
    boundary, vocab_size = vocabulary
    rows = source_BS.shape[0]
    memory, cache = read_sources(model, params, source_BS, source_mask_BS, width, length)
    wide = jnp.promote_types(model.precision.compute, jnp.float32)

    def goes_on(carry: tuple) -> jax.Array:
        return (carry[0] < length) & carry[2].any()

    def advance(carry: tuple) -> tuple:
        step, cache, live_BW, (tokens_BWN, counts_BW, sums_BW) = carry
        newest_BW = jnp.where(step == 0, boundary, tokens_BWN[:, :, jnp.maximum(step - 1, 0)])
        log_p_RV, cache = next_log_p(model, params, newest_BW.reshape(-1), memory, cache, vocab_size)
        log_p_BWV = log_p_RV.reshape(rows, width, -1)
        # A hypothesis that has ended goes on as itself: by the boundary, at no cost.
        itself_V = jnp.where(jnp.arange(log_p_BWV.shape[-1]) == boundary, 0.0, -jnp.inf).astype(wide)
        sums_BWV = sums_BW[:, :, None] + jnp.where(live_BW[:, :, None], log_p_BWV, itself_V[None, None, :])
        counts_BW = counts_BW + live_BW
        scores_BWV = sums_BWV / length_norm(counts_BW, length_penalty, wide)[:, :, None]
        _, best_BW = jax.lax.top_k(scores_BWV.reshape(rows, -1), width)
        origin_BW, token_BW = best_BW // log_p_BWV.shape[-1], (best_BW % log_p_BWV.shape[-1]).astype(jnp.int32)
        sums_BW = jnp.take_along_axis(sums_BWV.reshape(rows, -1), best_BW, axis=1)
        counts_BW, live_BW = (jnp.take_along_axis(part, origin_BW, axis=1) for part in (counts_BW, live_BW))
        tokens_BWN = jnp.take_along_axis(tokens_BWN, origin_BW[:, :, None], axis=1)
        tokens_BWN = jax.lax.dynamic_update_slice_in_dim(tokens_BWN, token_BW[:, :, None], step, axis=2)
        rows_R = (jnp.arange(rows)[:, None] * width + origin_BW).reshape(-1)
        cache = cache._replace(layers=jax.tree.map(lambda part: part[rows_R], cache.layers))
        live_BW = live_BW & (token_BW != boundary) & (sums_BW > -jnp.inf)
        return step + 1, cache, live_BW, (tokens_BWN, counts_BW, sums_BW)

    first_1W = jnp.arange(width)[None, :] == 0  # all slots but one wait for the first continuations
    live_BW = jnp.broadcast_to(first_1W, (rows, width))
    sums_BW = jnp.where(live_BW, 0.0, -jnp.inf).astype(wide)
    tokens_BWN = jnp.full((rows, width, length), boundary, jnp.int32)
    nothing = (tokens_BWN, jnp.zeros((rows, width), jnp.int32), sums_BW)
    carry = (jnp.zeros((), jnp.int32), cache, live_BW, nothing)
    return Targets(*(part[:, 0] for part in jax.lax.while_loop(goes_on, advance, carry)[3]))  # the best comes first
