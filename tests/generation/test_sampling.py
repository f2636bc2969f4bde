"""Samplers against plain definitions in numpy, and the properties they promise."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from jaxdec.errors import UserError
from jaxdec.generation.sampling import (
    Sampling,
    keep_below,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    sample,
    shape_logits,
    with_temperature,
)

VOCAB = 8
# Whole numbers bring ties. Others are rounded: a shift must not make equal what the definition ranks.
values = st.integers(-3, 3).map(float) | st.just(-0.0) | st.floats(-9, 9).map(lambda value: round(value, 4))
logit_rows = st.lists(values, min_size=VOCAB, max_size=VOCAB)
samplings = st.builds(
    Sampling,
    temperature=st.floats(0.1, 5),
    top_k=st.none() | st.integers(1, VOCAB + 2),
    top_p=st.none() | st.just(1.0) | st.floats(0.01, 0.999),
    min_p=st.none() | st.sampled_from([0.0, 1.0]) | st.floats(0.001, 0.999),
)


def definition(logits: list[float], sampling: Sampling) -> np.ndarray:
    """The distribution, token by token. Skips examples that rounding decides: a sum or ratio at the very threshold."""
    weights = {token: np.exp((logit - max(logits)) / sampling.temperature) for token, logit in enumerate(logits)}
    ranked = sorted(weights, key=lambda token: (-logits[token], token))
    if sampling.top_k is not None:
        ranked = ranked[: sampling.top_k]
    if sampling.top_p is not None and sampling.top_p < 1:
        total, held, kept = sum(weights[token] for token in ranked), 0.0, []
        for token in ranked:
            assume(abs(held / total - sampling.top_p) > 1e-9)
            if held / total < sampling.top_p:
                kept.append(token)
            held += weights[token]
        ranked = kept
    if sampling.min_p is not None:
        best = weights[ranked[0]]
        assume(all(weights[token] == best or abs(weights[token] / best - sampling.min_p) > 1e-9 for token in ranked))
        ranked = [token for token in ranked if weights[token] >= sampling.min_p * best]
    total = sum(weights[token] for token in ranked)
    return np.array([weights[token] / total if token in ranked else 0.0 for token in range(len(logits))])


@settings(deadline=None, max_examples=120)
@given(first=logit_rows, second=logit_rows, sampling=samplings)
@example([0.0] * VOCAB, [0.0] * VOCAB, Sampling(top_k=3, top_p=0.5, min_p=1.0))
def test_filters_give_the_defined_distribution(first: list[float], second: list[float], sampling: Sampling) -> None:
    expected = np.stack([definition(first, sampling), definition(second, sampling)])
    with jax.enable_x64(True):
        got = np.asarray(jax.nn.softmax(shape_logits(jnp.array([first, second]), sampling), axis=-1))
    np.testing.assert_array_equal(got > 0, expected > 0)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_order_matters_and_is_temperature_top_k_top_p_min_p() -> None:
    logits = jnp.log(jnp.array([[0.4, 0.3, 0.2, 0.1]]))

    def support(sampling: Sampling) -> list[int]:
        return np.flatnonzero(np.isfinite(shape_logits(logits, sampling)[0])).tolist()

    # Of the two best alone the first holds 4/7 > 0.55: top-p cuts what top-k left.
    assert support(Sampling(top_p=0.55)) == [0, 1]
    assert support(Sampling(top_k=2, top_p=0.55)) == [0]
    # At temperature 1/2 the probabilities are 16, 9, 4 and 1 of 30: it comes before both.
    assert support(Sampling(temperature=0.5, top_p=0.52)) == [0]
    assert support(Sampling(temperature=0.5, min_p=0.3)) == [0, 1]
    assert support(Sampling(min_p=0.3)) == [0, 1, 2]
    # A quarter each: two reach a half, and no third is kept.
    logits = jnp.zeros((1, 4))
    assert support(Sampling(top_p=0.5)) == [0, 1]


@settings(deadline=None, max_examples=50)
@given(logits=logit_rows, k=st.integers(1, VOCAB + 2), p=st.floats(0.01, 1))
def test_supports(logits: list[float], k: int, p: float) -> None:
    row = jnp.array([logits])

    def kept(filtered: jax.Array) -> np.ndarray:
        support = np.isfinite(np.asarray(filtered[0]))
        np.testing.assert_array_equal(np.asarray(filtered[0])[support], np.asarray(row[0])[support])
        return support

    probabilities = np.asarray(jax.nn.softmax(row, axis=-1)[0])
    assert kept(keep_top_k(row, k)).sum() == min(k, VOCAB)
    nucleus = kept(keep_top_p(row, p))
    assert probabilities[nucleus].sum() >= p - 1e-6
    assert probabilities[nucleus].sum() - probabilities[nucleus].min() <= p + 1e-6  # none could be spared
    assert probabilities[nucleus].min() >= probabilities[~nucleus].max(initial=0)
    assert kept(keep_min_p(row, p)).any()


@settings(deadline=None, max_examples=50)
@given(logits=logit_rows, seed=st.integers(0, 2**31 - 1))
def test_top_k_of_one_is_greedy_whatever_the_key(logits: list[float], seed: int) -> None:
    row = jnp.array([logits, logits[::-1]])
    greedy = sample(row, jax.random.key(0), jnp.zeros(2, jnp.int32), Sampling(temperature=0))
    drawn = sample(row, jax.random.key(seed), jnp.zeros(2, jnp.int32), Sampling(temperature=3, top_k=1))
    np.testing.assert_array_equal(drawn, greedy)
    np.testing.assert_array_equal(greedy, np.argmax(np.asarray(row), axis=-1))


def test_off_values_change_nothing() -> None:
    logits = -jnp.arange(60.0)[None]  # the running sum of the probabilities soon rounds to 1
    off = Sampling(top_p=1.0, min_p=0.0, top_k=60)
    np.testing.assert_array_equal(shape_logits(logits, off), with_temperature(logits, 1))


@pytest.mark.parametrize("temperature", [1e-45, 1e-8, 1e8, 1e300])
def test_extreme_temperatures_stay_finite_or_dropped(temperature: float) -> None:
    shaped = np.asarray(shape_logits(jnp.array([[3e4, -3e4, 0.0, 1.0]]), Sampling(temperature=temperature, top_p=0.9)))
    assert not np.isnan(shaped).any()
    assert shaped.max() == 0
    if temperature < 1:
        assert np.flatnonzero(np.isfinite(shaped) & (shaped > -1)).tolist() == [0]


def test_padded_ids_are_dropped() -> None:
    np.testing.assert_array_equal(keep_below(jnp.ones((2, 4)), 3), [[1, 1, 1, -np.inf]] * 2)


PROBABILITIES = np.array([0.4, 0.25, 0.15, 0.12, 0.05, 0.03])
DRAWS = 20_000


def over_rows(logits: jax.Array, sampling: Sampling) -> jax.Array:
    rows = jnp.broadcast_to(logits, (DRAWS, logits.size))
    return sample(rows, jax.random.key(5), jnp.full(DRAWS, 17), sampling)


def over_indices(logits: jax.Array, sampling: Sampling) -> jax.Array:
    one = jax.vmap(lambda index: sample(logits[None], jax.random.key(5), index[None], sampling)[0])
    return one(jnp.arange(DRAWS))


@pytest.mark.parametrize("draw", [over_rows, over_indices])
@pytest.mark.parametrize(
    ("sampling", "support"),
    [
        (Sampling(), 6),
        (Sampling(temperature=2), 6),
        (Sampling(top_k=4), 4),
        (Sampling(top_p=0.79), 3),
        (Sampling(min_p=0.3), 4),
    ],
    ids=str,
)
def test_frequencies(draw: Callable[[jax.Array, Sampling], jax.Array], sampling: Sampling, support: int) -> None:
    logits = jnp.log(jnp.array(PROBABILITIES))
    expected = PROBABILITIES ** (1 / sampling.temperature) * (np.arange(6) < support)
    expected *= DRAWS / expected.sum()
    counts = np.bincount(np.asarray(draw(logits, sampling)), minlength=6)
    assert counts[support:].sum() == 0
    chi_square = (np.square(counts - expected)[:support] / expected[:support]).sum()
    assert chi_square < 35  # five degrees of freedom exceed it once in 600,000


def test_a_draw_depends_on_key_index_and_row_alone() -> None:
    logits = jax.random.normal(jax.random.key(2), (5, VOCAB))
    index = jnp.arange(5)
    base = np.asarray(sample(logits, jax.random.key(3), index, Sampling()))
    fewer = np.asarray(sample(logits[:3], jax.random.key(3), index[:3], Sampling()))
    np.testing.assert_array_equal(fewer, base[:3])
    same = jnp.zeros((64, VOCAB))
    steady = jnp.zeros(64, jnp.int32)
    draws = [
        sample(same, jax.random.key(seed), index, Sampling())
        for seed, index in [(3, steady), (3, steady + 1), (4, steady)]
    ]
    assert len(np.unique(np.asarray(draws[0]))) == VOCAB  # rows differ
    assert len({tuple(np.asarray(row).tolist()) for row in draws}) == 3  # so do indices and keys


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1: give 0 (greedy) or a positive number"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"top_k": 0}, "top-k is 0: give a whole number from 1"),
        ({"top_p": 0.0}, "top-p is 0.0: give a number above 0"),
        ({"top_p": 1.01}, "top-p is 1.01"),
        ({"top_p": float("nan")}, "top-p is nan"),
        ({"min_p": -0.01}, "min-p is -0.01: give a number from 0 to 1"),
        ({"min_p": 1.5}, "min-p is 1.5"),
    ],
)
def test_wrong_values_are_named(values: dict[str, float], message: str) -> None:
    with pytest.raises(UserError) as error:
        Sampling(**values)  # type: ignore[arg-type]
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_edge_values_are_accepted() -> None:
    assert Sampling(temperature=0, top_k=1, top_p=1, min_p=0).greedy
    assert not Sampling(min_p=1).greedy
