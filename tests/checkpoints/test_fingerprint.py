"""Fingerprints against a second implementation in Python's integers, and the changes that they must not miss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdec.checkpoints.fingerprint import fingerprints, named_leaves

TYPES = ["float32", "bfloat16", "float16", "int32", "uint32", "uint16", "int8", "uint8", "bool"]


def sums(array: jax.Array) -> str:
    return fingerprints({"x": array})["x"]["sums"]


def fmix32(word: int) -> int:
    word ^= word >> 16
    word = word * 0x85EBCA6B % 2**32
    word ^= word >> 13
    word = word * 0xC2B2AE35 % 2**32
    return word ^ (word >> 16)


def by_hand(array: np.ndarray) -> str:
    word_bytes = min(array.dtype.itemsize, 4)
    words = np.frombuffer(array.tobytes(), dtype=f"<u{word_bytes}")
    hashed = [fmix32(int(word) ^ fmix32(position)) for position, word in enumerate(words)]
    return f"{sum(hashed) % 2**32:08x}{sum(fmix32(value ^ 0x9E3779B9) for value in hashed) % 2**32:08x}"


def array_of(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Arbitrary bits, NaNs and infinities included."""
    size = jnp.dtype(dtype).itemsize * int(np.prod(shape))
    bits = np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 256, size, dtype=np.uint8)
    return bits.view(jnp.dtype(dtype)).reshape(shape)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (2, 3, 5), (0, 3)])
def test_equals_the_same_sums_in_python_integers(dtype: str, shape: tuple[int, ...]) -> None:
    array = array_of(dtype, shape, seed=len(shape))
    assert sums(jnp.asarray(array)) == by_hand(array)


@pytest.mark.parametrize("dtype", ["float64", "int64", "float32"])
def test_types_of_eight_bytes_and_the_same_result_with_x64_enabled(dtype: str) -> None:
    array = array_of(dtype, (5, 3), seed=1)
    with jax.enable_x64(True):
        assert sums(jnp.asarray(array)) == by_hand(array)


def test_typed_keys_are_their_key_data() -> None:
    keys = jax.random.split(jax.random.key(3), 5)
    assert sums(keys) == by_hand(np.asarray(jax.random.key_data(keys)))
    assert fingerprints({"x": keys})["x"]["dtype"] == "key<fry>"


@settings(max_examples=60, deadline=None)
@given(dtype=st.sampled_from(TYPES[:-1]), place=st.integers(0, 10**9), mask=st.integers(1, 255), seed=st.integers(0, 9))
def test_any_changed_byte_is_seen(dtype: str, place: int, mask: int, seed: int) -> None:
    array = array_of(dtype, (6, 10), seed)
    changed = array.copy()
    flat = changed.reshape(-1).view(np.uint8)
    flat[place % flat.size] ^= mask
    assert sums(jnp.asarray(array)) != sums(jnp.asarray(changed))


def test_damage_that_a_weighted_sum_would_miss_is_seen() -> None:
    array = jnp.arange(1.0, 9.0)
    assert sums(array) != sums(array.at[jnp.array([2, 5])].multiply(-1))  # two top bits: they cancel in a linear sum
    assert sums(array) != sums(array[::-1])
    assert sums(array) != sums(jnp.roll(array, 1))
    assert sums(jnp.zeros(8)) != sums(-jnp.zeros(8))


@pytest.mark.parametrize("axes", [(4, 1), (2, 2), (1, 4), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sharding_does_not_change_it(axes: tuple[int, int], dtype: str) -> None:
    devices = jax.devices()[: axes[0] * axes[1]]
    assert len(devices) == axes[0] * axes[1], "the tests need four devices: see tests/conftest.py"
    mesh = jax.make_mesh(axes, ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2, devices=devices)
    array = array_of(dtype, (8, 12), seed=2)
    for spec in (P("data", "fsdp"), P("fsdp"), P(("data", "fsdp")), P()):
        assert sums(jax.device_put(array, NamedSharding(mesh, spec))) == by_hand(array)


def test_paths_name_leaves_and_must_differ() -> None:
    tree = {"params": {"blocks.0.up": 1}, "opt": (2, {"a": 3})}
    assert named_leaves(tree) == {"opt/0": 2, "opt/1/a": 3, "params/blocks.0.up": 1}
    with pytest.raises(ValueError, match="same path"):
        named_leaves({"a": {"b": 1}, "a/b": 2})
