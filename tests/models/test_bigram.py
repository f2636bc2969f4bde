"""The bigram model: one token of context, and exactly the entropy that is left with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.model import BigramConfig
from jaxdec.data.corpora.markov import Markov
from jaxdec.models.functional import Model, Params
from jaxdec.recipes import load_recipe
from jaxdec.stages.run import train
from jaxdec.training.losses import token_losses
from tests import tiny
from tests.models import rungs

CONFIG = BigramConfig(width=16, context=8, vocab_size=11)
LETTERS = 8


@pytest.fixture(autouse=True, scope="module")
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def pair_counts(ids: np.ndarray, size: int) -> np.ndarray:
    """How often each token follows each: [previous, next]."""
    counts = np.zeros((size, size))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return counts


def conditional_entropy(counts: np.ndarray) -> float:
    """H(next | previous) of the pairs counted, in nats."""
    rows = np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape)[counts > 0]
    counts = counts[counts > 0]
    return float(-(counts * np.log(counts / rows)).sum() / counts.sum())


def loss(model: Model, params: Params, ids: np.ndarray) -> jax.Array:
    """The mean loss of the model on a whole text."""
    return token_losses(model.apply(params, ids[None, :-1]).logits_BTV, ids[None, 1:]).mean()


def chain(length: int) -> np.ndarray:
    return np.array([ord(letter) - ord("a") for letter in Markov(order=2).generate(length)])


def trained_to_the_end(model: Model, ids: np.ndarray) -> float:
    """The loss on `ids` after a quasi-Newton method has nothing left to gain."""
    optimizer = optax.lbfgs()

    def objective(params: Params) -> jax.Array:
        return loss(model, params, ids)

    step_of = optax.value_and_grad_from_state(objective)

    @jax.jit
    def step(carry):
        params, state = carry
        value, grads = step_of(params, state=state)
        updates, state = optimizer.update(grads, state, params, value=value, grad=grads, value_fn=objective)
        return optax.apply_updates(params, updates), state

    params = model.init(jax.random.key(0))
    carry = (params, optimizer.init(params))
    for _ in range(150):
        carry = step(carry)
    return float(objective(carry[0]))


def test_two_matrices_drawn_with_init_std():
    expected = {"token_embed.embedding": ((300, 64), 0.05), "head.kernel": ((64, 300), 0.05)}
    rungs.check_init(BigramConfig(width=64, vocab_size=300, init_std=0.05), expected)


def test_logits_are_rows_of_one_table():
    model, params = rungs.double(CONFIG)
    ids = tiny.tokens(3, 8)
    table = np.asarray(params["token_embed.embedding"]) @ np.asarray(params["head.kernel"])
    np.testing.assert_allclose(model.apply(params, ids).logits_BTV, table[ids], rtol=1e-13)


def test_only_the_current_token_is_seen():
    np.testing.assert_array_equal(rungs.seen(CONFIG, 8), np.eye(8, dtype=bool))


@pytest.mark.parametrize(("padding", "cut"), [([0, 0], 1), ([3, 0, 1], 4)])
def test_a_cache_counts_and_changes_nothing(padding: list[int], cut: int):
    rungs.check_cache(CONFIG, padding, cut)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 11))
def test_no_parameters_do_better_than_the_conditional_entropy(seed: int, letters: int):
    model = Model(CONFIG, rungs.DOUBLE)
    ids = tiny.tokens(1, 60, seed, vocab_size=letters)[0]
    value = float(loss(model, tiny.generic_params(model, seed), ids))
    assert value >= conditional_entropy(pair_counts(ids, 11)) - 1e-12


def test_training_to_the_end_reaches_exactly_the_conditional_entropy_of_the_text():
    ids = chain(4000)
    entropy = conditional_entropy(pair_counts(ids, LETTERS))
    for width in (LETTERS - 1, 16):
        model = Model(BigramConfig(width=width, vocab_size=LETTERS), rungs.DOUBLE)
        assert -1e-12 <= trained_to_the_end(model, ids) - entropy < 1e-8, width


def test_too_few_channels_cannot_hold_the_table():
    ids = chain(4000)
    model = Model(BigramConfig(width=2, vocab_size=LETTERS), rungs.DOUBLE)
    assert trained_to_the_end(model, ids) - conditional_entropy(pair_counts(ids, LETTERS)) > 0.01


def test_the_recipe_reaches_the_floor_of_a_chain_of_order_one(tmp_path: Path):
    recipe = load_recipe("bigram")
    short = replace(recipe.train, steps=400, steps_per_dispatch=50, eval_every=400, checkpoint_every=400)
    config = replace(recipe, train=short, data=replace(recipe.data, corpus="markov:1"))
    with jax.enable_x64(False):
        summary = train(config, tmp_path / "run")
    assert abs(summary["excess"]) < 3 * summary["sweep_standard_error"] < 0.01
    assert summary["floor"] == pytest.approx(Markov(order=1).conditional_entropy(1), abs=1e-9)
