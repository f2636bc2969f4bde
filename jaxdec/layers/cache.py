"""The KV cache: keys and values of the tokens already read, in slots of a fixed number.

Rows of a batch may be padded on the left, so that their last tokens stand in the same slot: a row's position is its
slot less its padding, and slots below the padding are never seen.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdec.config import ModelConfig


class LayerCache(NamedTuple):
    """One layer's keys and values, each [B,S,H,C]."""

    keys: jax.Array
    values: jax.Array


class Cache(NamedTuple):
    """All layers' caches; `length` [] counts the slots in use, `padding_B` the left pads of each row."""

    layers: tuple[LayerCache, ...]
    length: jax.Array
    padding_B: jax.Array


def empty_cache(config: ModelConfig, padding_B: jax.Array, slots: int, dtype: jnp.dtype) -> Cache:
    """A cache of `slots` positions for a batch of len(padding_B) rows."""
    shape = (padding_B.shape[0], slots, config.heads, config.width // config.heads)
    layer = LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))
    return Cache((layer,) * config.layers, jnp.zeros((), jnp.int32), padding_B.astype(jnp.int32))


def extend(layer: LayerCache, keys_BTHC: jax.Array, values_BTHC: jax.Array, length: jax.Array) -> LayerCache:
    """Writes T new tokens from slot `length` on. The caller keeps length + T within the slots."""

    def write(slots: jax.Array, new: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(slots, new.astype(slots.dtype), length, axis=1)

    return LayerCache(write(layer.keys, keys_BTHC), write(layer.values, values_BTHC))


def store(cache: Cache, read: Cache, rows_R: jax.Array) -> Cache:
    """Gives rows `rows_R` of `cache` the contents of `read`, a cache of R rows and T slots, all in use.

    They take the T slots below `cache.length`. A row number that `cache` does not have is passed over.
    """
    first = cache.length - read.length
    slots_T = first + jnp.arange(read.layers[0].keys.shape[1])

    def write(slots: jax.Array, new: jax.Array) -> jax.Array:
        return slots.at[rows_R[:, None], slots_T[None, :]].set(new, mode="drop")

    layers = jax.tree.map(write, cache.layers, read.layers)
    return Cache(layers, cache.length, cache.padding_B.at[rows_R].set(first + read.padding_B, mode="drop"))


def slide(cache: Cache, count: jax.Array) -> Cache:
    """Frees the last `count` slots by dropping as many at the left, which every row still in use has as pads."""
    layers = jax.tree.map(lambda slots: jnp.roll(slots, -count, axis=1), cache.layers)
    return Cache(layers, cache.length - count, jnp.maximum(cache.padding_B - count, 0))
