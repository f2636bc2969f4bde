"""The KV cache: keys and values of the tokens already read.

Rows of a batch may be padded on the left, so that their last tokens stand in the same slot: a row's position is its
slot minus its padding. A layer whose queries may read everything keeps a slot for every token. One whose pattern has a
`reach` (a sliding window) keeps a ring of that many slots, in which each row writes position p to slot p mod reach,
whatever its padding.

Where documents are separate, positions in this file still count from the beginning of the row: slots follow from them.
The cache keeps beside them where each row's last document begins, because of the keys before that none is read again.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdec.config.model import AnyModel, DecoderConfig
from jaxdec.config.parts import Pattern
from jaxdec.layers.attention.documents import first_starts


class LayerCache(NamedTuple):
    """One layer's keys and values, each [B,S,K,C]."""

    keys: jax.Array
    values: jax.Array


class Cache(NamedTuple):
    """All layers' caches; `length` [] counts the tokens read, pads included, `padding_B` the left pads of each row.

    start_B: the position at which each row's last document begins; None: its tokens are all one document.
    """

    layers: tuple[LayerCache, ...]
    length: jax.Array
    padding_B: jax.Array
    start_B: jax.Array | None = None


Contents = tuple[jax.Array, jax.Array, jax.Array]  # keys and values [B,S,K,C], positions [B,S]; none: negative


def empty_cache(config: AnyModel, padding_B: jax.Array, slots: int, dtype: jnp.dtype) -> Cache:
    """Zeroed slots: memory that was never written could hold values that are not finite."""

    def empty(decoder: DecoderConfig, pattern: Pattern) -> LayerCache:
        # No row ever holds more positions than the context, so that a ring of that size loses none.
        size = slots if pattern.reach is None else min(pattern.reach, decoder.context)
        shape = (padding_B.shape[0], size, decoder.resolved_kv_heads, decoder.resolved_head_dim)
        return LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    decoder = config.decoder
    layers = () if decoder is None else tuple(empty(decoder, pattern) for pattern in patterns(config))
    start_B = None if decoder is None else first_starts(decoder.documents, padding_B.shape[0])
    return Cache(layers, jnp.zeros((), jnp.int32), padding_B.astype(jnp.int32), start_B)


def patterns(config: AnyModel) -> list[Pattern]:
    """The attention pattern of each layer that has a cache."""
    decoder = config.decoder
    return [] if decoder is None else [decoder.attention_of(layer) for layer in range(decoder.layers)]


def token_positions(count: int, cache: Cache | None) -> jax.Array:
    """Positions of the next `count` tokens, [B,T], negative for pads; [1,T] without a cache."""
    positions_1T = jnp.arange(count)[None, :]
    return positions_1T if cache is None else positions_1T + cache.length - cache.padding_B[:, None]


def advanced(cache: Cache, layers: tuple[LayerCache, ...], starts_BT: jax.Array | None, count: int) -> Cache:
    """The cache after `count` more tokens, whose documents begin at `starts_BT`."""
    start_B = None if starts_BT is None else starts_BT[:, -1].astype(cache.padding_B.dtype)
    return Cache(layers, cache.length + count, cache.padding_B, start_B)


def extend(
    layer: LayerCache,
    keys_BTKC: jax.Array,
    values_BTKC: jax.Array,
    positions_BT: jax.Array,
    cache: Cache,
    pattern: Pattern,
) -> tuple[LayerCache, Contents]:
    """Stores T new tokens; returns the cache and what their queries may look at, which holds all that `pattern` allows
    them to read. The caller keeps length + T within the slots of layers that keep all."""
    new = LayerCache(keys_BTKC, values_BTKC)
    if pattern.reach is None:
        layer = jax.tree.map(lambda slots, new: _write_from(slots, new, cache.length), layer, new)
        return layer, (layer.keys, layer.values, jnp.arange(layer.keys.shape[1])[None, :] - cache.padding_B[:, None])
    before = _ring_positions(layer.keys.shape[1], cache.length - cache.padding_B)
    contents = jax.tree.map(lambda ring, new: jnp.concatenate([ring.astype(new.dtype), new], axis=1), layer, new)
    layer = jax.tree.map(lambda ring, new: _write_ring(ring, new, positions_BT), layer, new)
    return layer, (contents.keys, contents.values, jnp.concatenate([before, positions_BT], axis=1))


def _write_from(slots: jax.Array, new: jax.Array, length: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(slots, new.astype(slots.dtype), length, axis=1)


def _ring_positions(size: int, tokens_B: jax.Array) -> jax.Array:
    """The position in each slot of the ring of a row that holds `tokens_B`, [B,S]; negative where there is none."""
    newest_B1 = tokens_B[:, None] - 1
    return newest_B1 - (newest_B1 - jnp.arange(size)[None, :]) % size


def _write_ring(ring: jax.Array, new: jax.Array, positions_BT: jax.Array) -> jax.Array:
    """Writes the newest tokens, as many as the ring holds. Pads, and tokens already out of the window, go nowhere."""
    size = ring.shape[1]
    kept = (positions_BT >= 0) & (positions_BT > positions_BT[:, -1:] - size)
    slots_BT = jnp.where(kept, positions_BT % size, size)
    rows_B1 = jnp.arange(ring.shape[0])[:, None]
    return ring.at[rows_B1, slots_BT].set(new.astype(ring.dtype), mode="drop")


def store(config: AnyModel, cache: Cache, read: Cache, rows_R: jax.Array) -> Cache:
    """Gives rows `rows_R` of `cache` the contents of `read`, a cache of R rows and T slots, all in use.

    They take the T slots below `cache.length`. A row number that `cache` does not have is passed over.
    """
    first = cache.length - read.length

    def write(pattern: Pattern, slots: jax.Array, new: jax.Array) -> jax.Array:
        if pattern.reach is not None:
            return slots.at[rows_R].set(new, mode="drop")
        return slots.at[rows_R[:, None], first + jnp.arange(new.shape[1])[None, :]].set(new, mode="drop")

    layers = tuple(
        LayerCache(*(write(pattern, *pair) for pair in zip(into, new, strict=True)))
        for pattern, into, new in zip(patterns(config), cache.layers, read.layers, strict=True)
    )
    start_B = cache.start_B
    if start_B is not None and read.start_B is not None:  # positions count from the row's beginning, wherever it stands
        start_B = start_B.at[rows_R].set(read.start_B, mode="drop")
    return Cache(layers, cache.length, cache.padding_B.at[rows_R].set(first + read.padding_B, mode="drop"), start_B)


def slide(config: AnyModel, cache: Cache, count: jax.Array) -> Cache:
    """Frees the last `count` slots by dropping as many at the left, which every row still in use has as pads.

    Rings stay as they are: a row's positions do not change.
    """
    layers = tuple(
        jax.tree.map(lambda part: jnp.roll(part, -count, axis=1), layer) if pattern.reach is None else layer
        for pattern, layer in zip(patterns(config), cache.layers, strict=True)
    )
    return Cache(layers, cache.length - count, jnp.maximum(cache.padding_B - count, 0), cache.start_B)
