"""Routing against its definition, written as loops, and its properties."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.parts import MLP, MoE
from jaxdec.layers.moe import router
from jaxdec.training.reporting import capacity_warnings
from tests import tiny

# Few shapes, because each compiles: tokens, experts, choices, slots
SHAPES = st.sampled_from(
    [(24, 6, 2, 5), (24, 6, 2, None), (9, 4, 4, 3), (1, 5, 3, None), (7, 1, 1, 4), (16, 3, 1, None)]
)
Shape = tuple[int, int, int, int | None]


def random_choices(tokens: int, experts: int, top_k: int, seed: int) -> np.ndarray:
    """[N,K] distinct experts a token, some experts wanted more than others."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(tokens, experts)) + 3 * rng.normal(size=experts)
    return np.argsort(-scores, axis=-1)[:, :top_k].astype(np.int32)


def positions_by_hand(chosen_NK: np.ndarray, experts: int) -> tuple[np.ndarray, np.ndarray]:
    taken, position_KN = np.zeros(experts, int), np.zeros(chosen_NK.T.shape, int)
    for choice in range(chosen_NK.shape[1]):
        for token in range(chosen_NK.shape[0]):
            expert = chosen_NK[token, choice]
            position_KN[choice, token] = taken[expert]
            taken[expert] += 1
    return position_KN, taken


@partial(jax.jit, static_argnums=(1, 2))
def placed(chosen_NK: jax.Array, experts: int, slots: int | None) -> Any:
    """Positions, counts, and the assignment, whose numbers of groups and slots leave the program as arrays."""
    position_KN, count_E = router.positions(chosen_NK, experts)
    return position_KN, count_E, router.assign_slots(chosen_NK, position_KN, count_E, slots)


@settings(max_examples=60)
@given(SHAPES, st.integers(0, 10**6))
def test_first_choices_are_placed_before_second_ones_in_the_order_of_tokens(shape: Shape, seed: int):
    tokens, experts, top_k, slots = shape
    chosen_NK = random_choices(tokens, experts, top_k, seed)
    position_KN, count_E, _ = placed(chosen_NK, experts, slots)
    expected_KN, expected_E = positions_by_hand(chosen_NK, experts)
    np.testing.assert_array_equal(position_KN, expected_KN)
    np.testing.assert_array_equal(count_E, expected_E)


@settings(max_examples=100)
@given(SHAPES, st.integers(0, 10**6))
def test_every_slot_holds_one_token_of_its_expert(shape: Shape, seed: int):
    tokens, experts, top_k, slots = shape
    chosen_NK = random_choices(tokens, experts, top_k, seed)
    position_KN, _, assignment = placed(chosen_NK, experts, slots)
    groups, size = map(int, assignment.shape)
    slot_KN, token_S = np.asarray(assignment.slot_KN), np.asarray(assignment.token_S)
    expert_G = np.arange(groups) if assignment.expert_G is None else np.asarray(assignment.expert_G)
    has_slot_KN = slot_KN < groups * size
    np.testing.assert_array_equal(has_slot_KN, np.asarray(position_KN) < (tokens if slots is None else slots))
    used = slot_KN[has_slot_KN]
    assert len(set(used.tolist())) == used.size and np.all(slot_KN >= 0)
    np.testing.assert_array_equal(expert_G[used // size], chosen_NK.T[has_slot_KN])
    np.testing.assert_array_equal(token_S[used], np.broadcast_to(np.arange(tokens), slot_KN.shape)[has_slot_KN])
    assert token_S.size == groups * size and np.sum(token_S < tokens) == used.size
    kept_E = np.bincount(chosen_NK.T[has_slot_KN], minlength=experts)
    np.testing.assert_array_equal(
        kept_E, np.minimum(np.bincount(chosen_NK.ravel(), minlength=experts), slots or tokens)
    )


@settings(max_examples=60)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=20).filter(any))
def test_dropless_groups_are_enough_whatever_the_router_does(counts: list[int]):
    groups, size = router.dropless_groups(sum(counts), len(counts))
    assert sum(-(-count // size) for count in counts) <= groups


def test_dropless_groups_are_few():
    groups, size = router.dropless_groups(8192, 64)
    assert groups * size < 2 * 8192  # one room for all tokens an expert would be 64 x 4096
    assert router.dropless_groups(2, 64) == (2, 1)  # one token, decoded: the weights of two experts are read, not of 64


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_the_highest_scores_are_chosen_and_of_equal_ones_the_lower_expert(seed: int):
    scores_NE = np.random.default_rng(seed).integers(0, 3, (16, 5)).astype(np.float32)
    chosen_NK = router.choose(jnp.asarray(scores_NE), 3)
    np.testing.assert_array_equal(chosen_NK, np.argsort(-scores_NE, axis=-1, kind="stable")[:, :3])


def test_gates_are_a_softmax_over_the_chosen_or_over_all():
    scores = jnp.log(jnp.array([[1.0, 2.0, 5.0], [6.0, 1.0, 3.0]]))
    chosen = router.choose(scores, 2)
    np.testing.assert_allclose(router.gates(scores, chosen, "chosen"), [[5 / 7, 2 / 7], [6 / 9, 3 / 9]], rtol=1e-6)
    np.testing.assert_allclose(router.gates(scores, chosen, "all"), [[5 / 8, 2 / 8], [6 / 10, 3 / 10]], rtol=1e-6)


@pytest.mark.parametrize(
    ("part", "tokens", "training", "evaluation"),
    [
        (MoE(experts=8, top_k=2), 768, 240, 384),
        (MoE(experts=8, top_k=1), 100, 14, 24),  # 15.6 and 25, down to even numbers
        (MoE(experts=8, top_k=2), 8, 4, 4),  # 2.5 and 4: at least min_capacity
        (MoE(experts=8, top_k=2, min_capacity=5), 8, 5, 5),
        (MoE(experts=64, top_k=1, capacity_factor=0.1, min_capacity=1), 64, 1, 2),  # never no slot at all
        (MoE(experts=8, top_k=2), 3, 3, 3),  # no expert can be chosen by more tokens than there are
        (MoE(experts=2, top_k=2, capacity_factor=None, eval_capacity_factor=9.0), 10, None, 10),
    ],
)
def test_capacity(part: MoE, tokens: int, training: int | None, evaluation: int | None):
    assert router.capacity(part, tokens, training=True) == training
    assert router.capacity(part, tokens, training=False) == evaluation


def test_a_capacity_that_drops_many_is_said_with_the_figure():
    few = MoE(experts=8, top_k=2, capacity_factor=0.01, min_capacity=1, eval_capacity_factor=None)
    said = router.capacity_warning(few, 768)
    assert said is not None and "8 experts x 1 slots take 8 of 1,536 assignments in training: at least 99%" in said
    assert "model.mlp.capacity_factor" in said and "evaluation" not in said
    half = router.capacity_warning(MoE(experts=8, top_k=2, eval_capacity_factor=0.5), 768)
    assert half is not None and "at evaluation: at least 50%" in half and "training" not in half
    assert router.capacity_warning(MoE(experts=8, top_k=2, capacity_factor=1.0), 770) is None
    assert router.capacity_warning(MoE(experts=8, capacity_factor=None, eval_capacity_factor=None), 768) is None


def test_a_run_says_so_at_its_start():
    model = replace(tiny.MODEL, mlp=(MLP(), MoE(experts=4, capacity_factor=0.1, min_capacity=1)))
    assert "\nwarning 4 experts x 2 slots" in capacity_warnings(tiny.run_config(model=model), parts=1)
    assert capacity_warnings(tiny.run_config(), parts=1) == ""


def test_balance_loss_is_one_when_even_and_as_many_as_experts_at_worst():
    even = jnp.zeros((8, 4))
    counts = jnp.array([4, 4, 4, 4])
    np.testing.assert_allclose(router.balance_loss(even, counts), 1.0, rtol=1e-6)
    np.testing.assert_allclose(router.balance_loss(even, jnp.array([16, 0, 0, 0])), 1.0, rtol=1e-6)
    sure = even.at[:, 0].set(50.0)
    np.testing.assert_allclose(router.balance_loss(sure, jnp.array([16, 0, 0, 0])), 4.0, rtol=1e-6)


def test_balance_loss_has_no_gradient_through_the_counts():
    """d/ds_ne of E sum_j f_j mean_n p_nj with f held still: E / N p_ne (f_e - sum_j f_j p_nj)."""
    with jax.enable_x64(True):
        scores = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)))

        def loss(scores):
            return router.balance_loss(scores, router.positions(router.choose(scores, 2), 4)[1])

        p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        f = np.bincount(np.argsort(-np.asarray(scores), -1)[:, :2].ravel(), minlength=4) / 12
        expected = 4 / 6 * p * (f[None] - (p @ f)[:, None])
        np.testing.assert_allclose(jax.grad(loss)(scores), expected, rtol=1e-10, atol=1e-14)


def test_z_loss_and_entropy():
    scores = jnp.log(jnp.array([[1.0, 3.0], [2.0, 2.0]]))
    np.testing.assert_allclose(router.z_loss(scores), np.log(4.0) ** 2, rtol=1e-6)
    expected = (0.25 * np.log(4) + 0.75 * np.log(4 / 3) + np.log(2)) / 2
    np.testing.assert_allclose(router.entropy(scores), expected, rtol=1e-6)
    assert np.isfinite(router.entropy(jnp.array([[-1e4, 1e4]]))) and router.z_loss(jnp.zeros((3, 1))) == 0.0


def test_noise_is_scaled_by_the_softplus_of_its_spread():
    noise = jnp.array([[1.0, -2.0]])
    np.testing.assert_allclose(router.noisy_scores(jnp.ones((1, 2)), jnp.zeros((1, 2)), noise), 1 + np.log(2) * noise)
    drawn = router.router_noise(jax.random.key(0), (100, 100))
    assert abs(float(drawn.mean())) < 0.05 and abs(float(drawn.std()) - 1) < 0.05
