"""Fingerprints of array trees: 64 bits per leaf, which change if any value is changed, moved or missing.

A stored array is trusted only when its fingerprint still agrees (see `checkpoint`). The arithmetic is on unsigned
32-bit integers that wrap, so it is exact, and sums of integers do not depend on their order: the result is the same on
one device and on many, whatever the sharding. Each word w at position p becomes h = mix(w ^ mix(p)), where `mix` is the
finaliser of MurmurHash3 (Appleby 2011, `fmix32`); the fingerprint is the pair (sum h, sum mix(h ^ salt)). `mix` is one
to one, so a single changed word always changes the first sum; larger damage escapes both by accident once in 2^64.
"""

from __future__ import annotations

from typing import Any, TypedDict

import jax
import jax.numpy as jnp

SALT = 0x9E3779B9
UNSIGNED = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}  # eight bytes are two words of four


class Leaf(TypedDict):
    """What is stored of one array: enough to allocate it, and to know it again."""

    dtype: str
    shape: list[int]
    sums: str  # 16 hexadecimal digits


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of `tree` by path, in tree order: "params/head.kernel", "opt/0/mu/head.kernel"."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two leaves of the tree have the same path: keep '/' out of its keys")
    return named


def fingerprints(tree: Any) -> dict[str, Leaf]:
    """Type, shape and fingerprint of every array of `tree`, by path. Waits until the arrays are computed.

    Arrays keep their sharding; nothing but two integers a leaf comes to the host.
    """
    named = named_leaves(tree)
    # One at a time: see `sharding.shares_threads`.
    sums = {name: jax.device_get(_sums(leaf)) for name, leaf in named.items()}
    texts = {name: "".join(f"{int(part):08x}" for part in parts) for name, parts in sums.items()}
    return {name: Leaf(dtype=str(leaf.dtype), shape=list(leaf.shape), sums=texts[name]) for name, leaf in named.items()}


@jax.jit
def _sums(array: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two sums of one array of any shape and of a type of 1, 2, 4 or 8 bytes, or of typed PRNG keys."""
    words = _words(array)
    hashed = _mix(words ^ _mix(_positions(words.shape)))
    # Without a dtype the sum of uint32 is uint64 when x64 is enabled, and the result would depend on that setting.
    return jnp.sum(hashed, dtype=jnp.uint32), jnp.sum(_mix(hashed ^ jnp.uint32(SALT)), dtype=jnp.uint32)


def _words(array: jax.Array) -> jax.Array:
    """The bits of `array` as uint32, in its own shape, with a last axis of 2 for types of eight bytes."""
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    if array.dtype == jnp.bool_:
        array = array.astype(jnp.uint8)
    return jax.lax.bitcast_convert_type(array, UNSIGNED[array.dtype.itemsize]).astype(jnp.uint32)


def _positions(shape: tuple[int, ...]) -> jax.Array:
    """The row-major index of every element, modulo 2^32; built per axis so that a sharded array stays sharded."""
    position, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        position += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    return position


def _mix(words: jax.Array) -> jax.Array:
    words ^= words >> 16
    words *= jnp.uint32(0x85EBCA6B)
    words ^= words >> 13
    words *= jnp.uint32(0xC2B2AE35)
    return words ^ (words >> 16)
