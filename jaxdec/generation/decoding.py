"""The cached decoding loop: a batch of rows, each of which is continued as if it were alone.

Two compiled programs do the work. `prefill` reads all tokens of a row but the newest into the KV cache, in one call.
`decode` takes up to MOST_STEPS steps in one dispatch; a step reads each row's newest token and draws the next. The
number of steps and the stop token are values, not shapes, and lengths are rounded up to powers of two, so that few
programs are compiled.

Past the context. With learned positions a cached token's position cannot change, so a full window cannot slide. A row
that holds n tokens is continued from its newest `window_size(n, context)`: all of them up to the context; the token
after that starts a new window of the newest context // 2 tokens, read again at positions 0, 1, ..., which then grows
back to the context. The window depends on n alone, so it is the same for a long prompt and for a sample that is used as
a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.generation.sampling import Sampling, keep_below, log_probabilities, sample
from jaxdec.layers.attention.cache import Cache, empty_cache, slide, store
from jaxdec.models.functional import Model, Params

# Slots beyond the context. All rows write to the same slot, and those whose windows were read again leave pads below:
# with slots to spare the cache is moved left once in so many steps, not at each.
SPARE_SLOTS = 32
SMALLEST_PREFILL = 16
MOST_STEPS = 128  # of one dispatch
NO_TOKEN = -1

Drawn = tuple[jax.Array, jax.Array]  # tokens int32 and their log-probabilities (nats), [B,N] each
Carry = tuple[jax.Array, Cache, jax.Array, jax.Array, Drawn]  # step, cache, newest_B, live_B, drawn


def window_size(tokens: int, context: int) -> int:
    """How many of a row's newest tokens the model reads when the row holds `tokens`.

    >>> [window_size(tokens, 6) for tokens in range(1, 13)]
    [1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 3, 4]
    """
    if tokens <= context:
        return tokens
    kept = max(1, context // 2)
    return kept + (tokens - context - 1) % (context - kept + 1)


@partial(jax.jit, static_argnames=("model", "rows", "slots"))
def start(model: Model, rows: int, slots: int, length: jax.Array) -> Cache:
    """An empty cache whose first `length` slots are pads. Compiled, so that no two buffers are one: all are donated."""
    cache = empty_cache(model.config, jnp.broadcast_to(length, (rows,)), slots, jnp.dtype(model.precision.compute))
    return cache._replace(length=length)


@partial(jax.jit, static_argnames="model", donate_argnames="cache")
def prefill(
    model: Model, params: Params, cache: Cache, tokens_RT: jax.Array, rows_R: jax.Array, counts_R: jax.Array
) -> Cache:
    """Reads the last `counts_R` of `tokens_RT` at positions 0, 1, ... as the new contents of rows `rows_R`."""
    width = tokens_RT.shape[1]
    fresh = empty_cache(model.config, width - counts_R, width, jnp.dtype(model.precision.compute))
    read = model.apply(params, tokens_RT, cache=fresh).cache
    assert read is not None
    return store(model.config, cache, read, rows_R)


move = jax.jit(slide, static_argnames="config", donate_argnames="cache")


@partial(jax.jit, static_argnames=("model", "sampling", "width"), donate_argnames="cache")
def decode(
    model: Model,
    params: Params,
    cache: Cache,
    newest_B: jax.Array,
    counts_B: jax.Array,
    live_B: jax.Array,
    key: jax.Array,
    limits: tuple[jax.Array, jax.Array, jax.Array],
    *,
    sampling: Sampling,
    width: int,
) -> tuple[Cache, Drawn, jax.Array, jax.Array]:
    """Draws tokens until `limits[0]` <= `width` steps are done or no row is live.

    newest_B: each row's newest token, not read yet; counts_B: tokens each row holds; live_B: rows without a stop token.
    limits: steps to take, the stop token (or NO_TOKEN), and the number of token ids that may be drawn.
    Returns the cache, what was drawn [B, width], live_B and the number of steps taken.
    """
    steps, stop, vocab_size = limits

    def goes_on(carry: Carry) -> jax.Array:
        step, _, _, live_B, _ = carry
        return (step < steps) & live_B.any()

    def advance(carry: Carry) -> Carry:
        step, cache, newest_B, live_B, (tokens_BN, log_p_BN) = carry
        output = model.apply(params, newest_B[:, None], cache=cache)
        assert output.cache is not None
        logits_BV = keep_below(output.logits_BTV[:, 0], vocab_size)
        newest_B = sample(logits_BV, key, counts_B + step, sampling)
        log_p_B1 = jnp.take_along_axis(log_probabilities(logits_BV, sampling), newest_B[:, None], axis=-1)
        tokens_BN = jax.lax.dynamic_update_slice_in_dim(tokens_BN, newest_B[:, None], step, axis=1)
        log_p_BN = jax.lax.dynamic_update_slice_in_dim(log_p_BN, log_p_B1.astype(log_p_BN.dtype), step, axis=1)
        return step + 1, output.cache, newest_B, live_B & (newest_B != stop), (tokens_BN, log_p_BN)

    shape = (newest_B.shape[0], width)
    drawn = (jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.promote_types(model.precision.compute, jnp.float32)))
    carry = (jnp.zeros((), jnp.int32), cache, newest_B, live_B, drawn)
    step, cache, _, live_B, drawn = jax.lax.while_loop(goes_on, advance, carry)
    return cache, drawn, live_B, step


def bucket(size: int, smallest: int, largest: int) -> int:
    """`size` rounded up to a power of two, within bounds that hold it."""
    return min(largest, max(smallest, 1 << (size - 1).bit_length()))


class Decoding:
    """The rows of one batch on their way: their tokens here, their cache on the device.

    `live_B` marks the rows that have not drawn the stop token. A row's cache holds its window less the newest token.
    `log_p`: for each row the log-probabilities (nats) of all that it drew, the stop token included, each of the
    distribution that it was drawn from.
    """

    def __init__(
        self,
        model: Model,
        params: Params,
        prompts: Sequence[np.ndarray],
        *,
        sampling: Sampling,
        key: jax.Array,
        stop: int | None,
        vocab_size: int,
    ):
        self.model, self.params, self.sampling, self.key = model, params, sampling, key
        self.stop = NO_TOKEN if stop is None else stop
        self.vocab_size = vocab_size
        self.rows = [[int(token) for token in prompt] for prompt in prompts]
        self.live_B = np.ones(len(self.rows), bool)
        self.log_p: list[list[float]] = [[] for _ in self.rows]
        self.context = model.config.context
        self.slots = self.context + SPARE_SLOTS
        unread = max(window_size(len(row), self.context) for row in self.rows) - 1
        self.read_B = np.zeros(len(self.rows), int)
        self.length = bucket(unread, SMALLEST_PREFILL, self.context) if unread else 0
        self.cache = start(model, len(self.rows), self.slots, np.int32(self.length))
        if unread:
            self._read(np.arange(len(self.rows)))

    def advance(self, limit: int) -> tuple[int, list[np.ndarray]]:
        """Takes from 1 to `limit` steps; returns how many, and each row's new tokens without the stop token.

        Some row must be live.
        """
        self._make_room()
        room = min(self.context - int(self.read_B[self.live_B].max()), self.slots - self.length)
        assert room > 0, "every live row has a position and a slot left"
        newest = np.array([row[-1] for row in self.rows], np.int32)
        counts = np.array([len(row) for row in self.rows], np.int32)
        limits = (np.int32(min(limit, room, MOST_STEPS)), np.int32(self.stop), np.int32(self.vocab_size))
        self.cache, *results = decode(
            self.model, self.params, self.cache, newest, counts, self.live_B, self.key, limits,
            sampling=self.sampling, width=min(MOST_STEPS, self.context),
        )  # fmt: skip
        (tokens_BN, log_p_BN), live_B, steps = jax.device_get(results)
        new = [self._new_tokens(row, tokens_BN[row, :steps]) for row in range(len(self.rows))]
        for row, tokens in zip(self.rows, new, strict=True):
            row.extend(tokens.tolist())
        for row in np.flatnonzero(self.live_B):
            self.log_p[row] += log_p_BN[row, : min(steps, len(new[row]) + 1)].tolist()
        self.live_B, self.read_B, self.length = np.array(live_B), self.read_B + steps, self.length + int(steps)
        return int(steps), new

    def _new_tokens(self, row: int, drawn: np.ndarray) -> np.ndarray:
        """What of the `drawn` tokens belongs to the row: all before the stop token."""
        if not self.live_B[row]:
            return drawn[:0]
        stops = np.flatnonzero(drawn == self.stop)
        return drawn[: stops[0]] if stops.size else drawn

    def _make_room(self) -> None:
        """Lets every live row, and the cache, take at least one more token."""
        full = np.flatnonzero(self.live_B & (self.read_B == self.context))
        if full.size:
            self._read(full)
        if self.length == self.slots:
            count = self.length - int(self.read_B[self.live_B].max())
            self.cache = move(self.model.config, self.cache, np.int32(count))
            self.length -= count

    def _read(self, rows: np.ndarray) -> None:
        """Reads the windows of `rows`, less the newest tokens, from position 0 on."""
        counts = np.array([window_size(len(self.rows[row]), self.context) - 1 for row in rows])
        size = bucket(rows.size, 1, len(self.rows))
        width = bucket(int(counts.max()), SMALLEST_PREFILL, self.context)
        tokens_RT = np.zeros((size, width), np.int32)
        rows_R, counts_R = np.full(size, len(self.rows), np.int32), np.zeros(size, np.int32)
        rows_R[: rows.size], counts_R[: rows.size] = rows, counts
        for index, (row, count) in enumerate(zip(rows, counts, strict=True)):
            tokens_RT[index, width - count :] = self.rows[row][-1 - count : -1]
        self.cache = prefill(self.model, self.params, self.cache, tokens_RT, rows_R, counts_R)
        self.read_B[rows] = counts
