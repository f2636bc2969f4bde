"""Attention against its definition: values, handwritten gradient, masks, cache."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.layers.attention import attend, masked_softmax
from jaxdec.layers.cache import Cache, empty_cache
from jaxdec.layers.masks import causal
from tests import tiny


def random_scores(seed: int = 0, shape: tuple[int, ...] = (2, 3, 5, 5)) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) * 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_masked_softmax_and_its_gradient_equal_the_derived_ones(seed: int):
    with jax.enable_x64(True):
        scores, weights = random_scores(seed), random_scores(seed + 1)
        visible = jnp.asarray(np.random.default_rng(seed).random((1, 1, 5, 5)) < 0.5).at[..., 0].set(True)

        def plain(scores):
            return jax.nn.softmax(jnp.where(visible, scores, -1e30), axis=-1)

        ours, pull_ours = jax.vjp(lambda scores: masked_softmax(scores, visible), scores)
        theirs, pull_theirs = jax.vjp(plain, scores)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(pull_ours(weights)[0], pull_theirs(weights)[0], rtol=1e-10, atol=1e-14)
        assert np.all(np.asarray(ours)[~np.broadcast_to(visible, ours.shape)] == 0.0)


def test_attention_equals_a_loop_over_queries():
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 4, 3, 8)) for _ in range(3))
    expected = np.zeros_like(q)
    for row in range(2):
        for head in range(3):
            for query in range(4):
                scores = k[row, : query + 1, head] @ q[row, query, head] / 8**0.5
                weights = np.exp(scores) / np.exp(scores).sum()
                expected[row, query, head] = weights @ v[row, : query + 1, head]
    slots = jnp.arange(4)
    visible = causal(slots[:, None], slots[None, :])[None, None]
    y = attend(*(jnp.asarray(part, jnp.float32) for part in (q, k, v)), visible, 0.0, None)
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-6)


def test_dropped_weights_are_scaled_and_need_a_key():
    q, k, v = (jnp.ones((1, 1, 1, 4)), jnp.ones((1, 64, 1, 4)), jnp.ones((1, 64, 1, 4)))
    visible = jnp.ones((1, 1, 1, 64), bool)
    assert float(attend(q, k, v, visible, 0.5, None)[0, 0, 0, 0]) == 1.0
    dropped = [float(attend(q, k, v, visible, 0.5, jax.random.key(seed))[0, 0, 0, 0]) for seed in range(200)]
    assert len(set(dropped)) > 10 and abs(np.mean(dropped) - 1) < 0.05


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=3, max_size=3), st.integers(1, 4))
def test_a_padded_cache_read_in_parts_equals_each_row_alone(padding: list[int], first: int):
    model = tiny.model()
    params, ids = tiny.generic_params(model), tiny.tokens(len(padding), 5, seed=first)
    padding_B = np.array(padding) + (3 - max(padding))  # the widest row fills the batch
    padded = np.zeros((len(padding), 8), np.int32)
    for row, pad in enumerate(padding_B):
        padded[row, pad : pad + 5] = ids[row]
    apply = jax.jit(model.apply)
    cache: Cache | None = empty_cache(model.config, jnp.asarray(padding_B), 8, jnp.dtype("float32"))
    cut = int(min(padding_B)) + first
    outputs = []
    for part in (padded[:, :cut], padded[:, cut:]):
        output = apply(params, part, cache=cache)
        cache = output.cache
        outputs.append(output.logits_BTV)
    logits = np.concatenate(outputs, axis=1)
    for row, pad in enumerate(padding_B):
        alone = apply(params, ids[row : row + 1]).logits_BTV[0]
        np.testing.assert_allclose(logits[row, pad : pad + 5], alone, rtol=2e-4, atol=2e-5)
