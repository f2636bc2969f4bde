"""Attention against its definition: values, handwritten gradient, groups of heads, patterns, sinks, soft caps."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.parts import Full, Local, Pattern, Strided
from jaxdec.layers.attention import kernel
from jaxdec.layers.attention.kernel import Mask
from jaxdec.layers.attention.softmax import masked_softmax

CAUSAL, EVERY_KEY = Mask(Full(), None, None), Mask(None, None, None)
PLAIN: dict[str, Any] = {"mask": CAUSAL, "scale": None, "softcap": None, "alibi": None, "sink_H": None}


def attend(q: jax.Array, k: jax.Array, v: jax.Array, **given: Any) -> jax.Array:
    """Plain causal attention, but for what is given."""
    return kernel.attend(q, k, v, **(PLAIN | {"dropout": 0.0, "key": None} | given))


def random_scores(seed: int = 0, shape: tuple[int, ...] = (2, 3, 5, 5)) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) * 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_masked_softmax_and_its_gradient_equal_the_derived_ones(seed: int):
    with jax.enable_x64(True):
        given, weights = random_scores(seed), random_scores(seed + 1)
        allowed = jnp.asarray(np.random.default_rng(seed).random((1, 1, 5, 5)) < 0.5).at[..., 0].set(True)

        def plain(given):
            return jax.nn.softmax(jnp.where(allowed, given, -1e30), axis=-1)

        ours, pull_ours = jax.vjp(lambda given: masked_softmax(given, allowed), given)
        theirs, pull_theirs = jax.vjp(plain, given)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(pull_ours(weights)[0], pull_theirs(weights)[0], rtol=1e-10, atol=1e-14)
        assert np.all(np.asarray(ours)[~np.broadcast_to(allowed, ours.shape)] == 0.0)


def test_a_sink_takes_weight_and_gives_none():
    with jax.enable_x64(True):
        given, sink_H = random_scores(), jnp.asarray([-1.0, 0.0, 2.0])
        allowed = jnp.tril(jnp.ones((5, 5), bool))[None, None]
        powers = np.exp(given) * allowed
        expected = powers / (powers.sum(-1, keepdims=True) + np.exp(sink_H)[None, :, None, None])
        np.testing.assert_allclose(masked_softmax(given, allowed, sink_H), expected, rtol=1e-12)
        far = masked_softmax(given, allowed, sink_H - 1000)
        np.testing.assert_allclose(far, masked_softmax(given, allowed), rtol=1e-12)


@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_attention_equals_a_loop_over_queries(key_heads: int):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 4, heads, 8)) for heads in (4, key_heads, key_heads))
    expected = np.zeros_like(q)
    for row, head, query in np.ndindex(2, 4, 4):
        group = head // (4 // key_heads)
        given = k[row, : query + 1, group] @ q[row, query, head] / 8**0.5
        weights = np.exp(given) / np.exp(given).sum()
        expected[row, query, head] = weights @ v[row, : query + 1, group]
    q, k, v = (jnp.asarray(part, jnp.float32) for part in (q, k, v))
    np.testing.assert_allclose(attend(q, k, v), expected, rtol=2e-5, atol=2e-6)
    slots = jnp.arange(4)[None]
    np.testing.assert_array_equal(attend(q, k, v, mask=Mask(Full(), (slots, slots), None)), attend(q, k, v))


def test_dropped_weights_are_scaled_and_need_a_key():
    q, k, v = jnp.ones((1, 1, 1, 4)), jnp.ones((1, 64, 1, 4)), jnp.ones((1, 64, 1, 4))
    half = {"mask": EVERY_KEY, "dropout": 0.5}
    np.testing.assert_allclose(attend(q, k, v, **half)[0, 0, 0, 0], 1.0, rtol=1e-6)
    dropped = [float(attend(q, k, v, **half, key=jax.random.key(seed))[0, 0, 0, 0]) for seed in range(200)]
    assert len(set(dropped)) > 10 and abs(np.mean(dropped) - 1) < 0.05


def test_only_keys_that_are_present_are_read():
    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(rng.normal(size=(2, length, 2, 4)), jnp.float32) for length in (3, 5, 5))
    present_BS = jnp.arange(5)[None] < jnp.asarray([[5], [2]])
    y = attend(q, k, v, mask=Mask(None, None, present_BS))
    np.testing.assert_allclose(y[0], attend(q, k, v, mask=EVERY_KEY)[0], rtol=1e-6)
    np.testing.assert_allclose(y[1], attend(q, k[:, :2], v[:, :2], mask=EVERY_KEY)[1], rtol=1e-5)
    assert np.abs(y[1] - attend(q, k, v, mask=EVERY_KEY)[1]).max() > 0.1


def test_a_pattern_needs_positions_where_queries_and_keys_are_not_one_sequence():
    q, k = jnp.ones((1, 2, 1, 4)), jnp.ones((1, 5, 1, 4))
    with pytest.raises(ValueError, match="2 queries and 5 keys are not one sequence"):
        attend(q, k, k)
    last = (jnp.asarray([[3, 4]]), jnp.arange(5)[None])
    weights = kernel.attention_weights(q, k, **(PLAIN | {"mask": Mask(Full(), last, None)}))
    np.testing.assert_allclose(weights[0, 0], [[1 / 4] * 4 + [0.0], [1 / 5] * 5], rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(query=st.integers(0, 40), key=st.integers(0, 40), size=st.integers(1, 9))
def test_patterns_allow_what_their_definitions_say(query: int, key: int, size: int):
    past = list(range(query + 1))
    assert Full().allowed(query, key) == (key in past)
    assert Local(window=size).allowed(query, key) == (key in past[-size:])
    assert Strided(stride=size).allowed(query, key) == (key in past[-size:] or key in past[::-1][::size])


def weights_of(pattern: Pattern, given_BHTS: jax.Array) -> np.ndarray:
    """The weights under a pattern of these scores: those of queries that hold them, and keys that are unit vectors."""
    batch, heads, _, keys = given_BHTS.shape
    unit_BSKC = jnp.broadcast_to(jnp.eye(keys)[None, :, None], (batch, keys, heads, keys))
    values = {"scale": 1.0, "softcap": pattern.softcap, "alibi": pattern.alibi, "mask": Mask(pattern, None, None)}
    return np.asarray(kernel.attention_weights(given_BHTS.swapaxes(1, 2), unit_BSKC, **(PLAIN | values)))


def test_a_soft_cap_bounds_scores_and_leaves_small_ones():
    given = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, 6, 6)), jnp.float32)
    np.testing.assert_allclose(weights_of(Full(softcap=1e4), given), weights_of(Full(), given), rtol=1e-4)
    capped = weights_of(Full(softcap=0.5), 100 * given)
    allowed = np.tril(np.ones((6, 6), bool))[None, None]
    assert np.where(allowed, capped, 1).min() > np.exp(-1) / 6  # scores lie in [-0.5, 0.5]


def test_alibi_falls_by_its_slope_for_each_position():
    weights = weights_of(Full(alibi=8.0), jnp.zeros((1, 2, 6, 6)))
    ratios = weights[0, :, 5, 1:] / weights[0, :, 5, :-1]
    np.testing.assert_allclose(ratios, np.exp([[2.0**-4] * 5, [2.0**-8] * 5]), rtol=1e-4)
