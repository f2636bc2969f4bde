"""The steps of attention: which are equal to which, to the layers of the models, and to numbers worked by hand."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from math import e
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.model import DecoderConfig
from jaxdec.layers.attention import steps
from jaxdec.layers.attention.attention import Attention, Heads
from jaxdec.layers.linear import linear

WIDTH, HEADS, CHANNELS = 12, 3, 4
seeds = st.integers(0, 1000)
lengths = st.sampled_from([1, 2, 5])  # each length compiles anew
few = settings(max_examples=6)


@pytest.fixture(autouse=True, scope="module")
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def inputs(seed: int, length: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(length, WIDTH)))


def close(a: jax.Array, b: jax.Array) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def stacked(seed: int) -> steps.StackedHeads:
    return steps.StackedHeads(WIDTH, HEADS, CHANNELS, 0.5, rngs=nnx.Rngs(params=seed))


def beside(heads: steps.StackedHeads, name: str) -> jax.Array:
    """The kernels of one projection of all heads, side by side."""
    return jnp.concatenate([getattr(head, name).kernel[...] for head in heads.heads], axis=1)


def split_like(heads: steps.StackedHeads) -> steps.SplitHeads:
    split = steps.SplitHeads(WIDTH, HEADS, CHANNELS, 0.5, rngs=nnx.Rngs(params=0))
    for name in ("query", "key", "value"):
        getattr(split.projections, name).kernel[...] = beside(heads, name)
    return split


def test_without_weights_by_hand():
    # Dot products of the first token with all: 1, 0, 1. Its weights are e, 1, e over their sum.
    x_TD = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    total = 2 * e + 1
    third = 2 * e + e**2
    expected = [[2 * e / total, (1 + e) / total], [(1 + e) / total, 2 * e / total], [(e + e**2) / third] * 2]
    close(steps.without_weights(x_TD), np.array(expected))


def test_scores_are_scaled_by_the_root_of_the_channels():
    q_TC, k_SC = jnp.array([[1.0, 2.0, 3.0, 4.0]]), jnp.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 2.0]])
    close(steps.scaled_scores(q_TC, k_SC), np.array([[5.0, 4.0]]))


def test_raw_arrays_by_hand():
    # Token 0 asks for what token 1 offers: scores 0, ln 3; weights 1/4, 3/4; values 4 and 8.
    x_TD, root = jnp.eye(2), jnp.array([[1.0], [0.0]])
    y_TC = steps.raw_arrays(x_TD, np.log(3.0) * root, root[::-1], jnp.array([[4.0], [8.0]]))
    close(y_TC, np.array([[7.0], [6.0]]))


@few
@given(seeds, lengths)
def test_one_query_is_a_row_of_without_weights(seed: int, length: int):
    x_TD = inputs(seed, length)
    close(jnp.stack([steps.one_query(x_TD, query) for query in range(length)]), steps.without_weights(x_TD))


def test_identity_weights_are_no_weights_but_for_the_scale():
    x_TD, identity = inputs(0, 5), jnp.eye(WIDTH)
    close(steps.raw_arrays(x_TD, WIDTH**0.5 * identity, identity, identity), steps.without_weights(x_TD))


@few
@given(seeds, lengths)
def test_linear_layers_are_raw_arrays(seed: int, length: int):
    x_TD, layers = inputs(seed, length), steps.Projections(WIDTH, CHANNELS, 0.5, rngs=nnx.Rngs(params=seed))
    kernels = (layers.query.kernel[...], layers.key.kernel[...], layers.value.kernel[...])
    close(steps.linear_layers(x_TD, layers), steps.raw_arrays(x_TD, *kernels))


@few
@given(seeds, lengths)
def test_masked_before_is_masked_after_and_renormalised(seed: int, length: int):
    scores_TS = 3 * jnp.asarray(np.random.default_rng(seed).normal(size=(length, length)))
    weights_TS = steps.causal_weights(scores_TS)
    close(weights_TS, steps.naive_causal_weights(scores_TS))
    close(weights_TS.sum(axis=-1), np.ones(length))
    assert np.all(np.triu(weights_TS, 1) == 0)


def test_only_the_naive_way_breaks_at_a_large_later_score():
    scores_TS = jnp.array([[0.0, 1000.0], [0.0, 0.0]])
    assert np.isnan(steps.naive_causal_weights(scores_TS)[0]).any()
    close(steps.causal_weights(scores_TS), np.array([[1.0, 0.0], [0.5, 0.5]]))


def test_a_causal_head_reads_as_if_the_text_ended_at_each_token():
    x_TD, layers = inputs(1, 6), steps.Projections(WIDTH, CHANNELS, 0.5, rngs=nnx.Rngs(params=1))
    ends = [steps.linear_layers(x_TD[: last + 1], layers)[-1] for last in range(6)]
    close(steps.causal_head(layers, x_TD, 0.5, None), jnp.stack(ends))


def test_dropout_takes_weights_in_training_and_keeps_the_mean():
    x_TD, layers = inputs(2, 5), steps.Projections(WIDTH, CHANNELS, 0.5, rngs=nnx.Rngs(params=2))
    still_TC = steps.causal_head(layers, x_TD, 0.5, None)
    close(steps.causal_head(layers, x_TD, 0.0, jax.random.key(0)), still_TC)
    keys = jax.random.split(jax.random.key(0), 4000)
    dropped = jax.vmap(lambda key: steps.causal_head(layers, x_TD, 0.5, key))(keys)
    # The first token sees itself alone: its weight is 0 or 2.
    first = np.asarray(dropped)[:, 0] / np.asarray(still_TC)[0]
    assert np.all(np.isclose(first, 0) | np.isclose(first, 2)) and 0.45 < np.mean(first > 1) < 0.55
    np.testing.assert_allclose(dropped.mean(axis=0), still_TC, atol=0.15)
    assert np.abs(dropped[0] - dropped[1]).max() > 0.01


@few
@given(seeds, lengths)
def test_stacked_heads_are_split_heads(seed: int, length: int):
    x_TD, heads = inputs(seed, length), stacked(seed)
    close(split_like(heads)(x_TD, 0.0, None), heads(x_TD, 0.0, None))


def test_each_stacked_head_is_a_head():
    x_TD, heads = inputs(3, 5), stacked(3)
    parts = jnp.split(heads(x_TD, 0.5, None), HEADS, axis=-1)
    for head, part_TC in zip(heads.heads, parts, strict=True):
        close(part_TC, steps.causal_head(head, x_TD, 0.0, None))


def test_stacked_and_split_heads_drop_out_with_a_key_and_stacked_heads_on_their_own():
    x_TD, heads = jnp.ones((1, WIDTH)), stacked(4)
    for layer in (heads, split_like(heads)):
        still_HC = layer(x_TD, 0.5, None).reshape(HEADS, CHANNELS)
        keys = jax.random.split(jax.random.key(0), 100)
        kept_NH = np.stack([(layer(x_TD, 0.5, key).reshape(HEADS, CHANNELS) / still_HC)[:, 0] for key in keys])
        assert np.all(np.isclose(kept_NH, 0) | np.isclose(kept_NH, 2))
        assert len(np.unique(np.round(kept_NH), axis=0)) == 2**HEADS


@few
@given(seeds, lengths)
def test_split_heads_are_the_heads_of_the_models(seed: int, length: int):
    config = DecoderConfig(layers=1, heads=HEADS, width=WIDTH, context=8, bias=False)
    x_TD, split = inputs(seed, length), split_like(stacked(seed))
    attention = Attention(config, 0, 0.5, rngs=nnx.Rngs(params=seed))
    heads = Heads(config, 0, rngs=nnx.Rngs(params=seed))
    for name in ("query", "key", "value"):
        for layer in (attention, heads):
            getattr(layer, name).kernel[...] = getattr(split.projections, name).kernel[...]
    positions_BT = jnp.arange(length)[None]
    y_TD = split(x_TD, 0.0, None)
    close(heads(x_TD[None], positions_BT, None, None, None)[0][0], y_TD)
    projected = linear(y_TD, attention.out.kernel[...], None)
    close(attention(x_TD[None], positions_BT, None, None, None)[0][0], projected)


def test_the_numbers_on_the_page_are_what_the_code_prints():
    page = Path(__file__).parents[3] / "docs" / "attention_steps.md"
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):  # as a reader has them
        result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 10 and result.failed == 0
