"""Schedule, clip, decay mask and AdamW against torch's arithmetic written out in numpy."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.config.run import OptimConfig
from jaxdec.training.optim import clip_by_global_norm, is_decayed, learning_rate, make_optimizer

CONFIG = OptimConfig(learning_rate=1e-3, min_learning_rate=1e-4, warmup_steps=10)


def test_schedule_warms_up_from_above_zero_and_ends_at_the_minimum():
    rate = [float(learning_rate(CONFIG, 100, step)) for step in range(120)]
    assert rate[0] == pytest.approx(1e-3 / 11)
    assert rate[10] == pytest.approx(1e-3)
    assert rate[55] == pytest.approx(1e-4 + 0.5 * 9e-4)
    assert rate[100] == pytest.approx(1e-4) and rate[119] == pytest.approx(1e-4)
    assert all(a < b for a, b in pairwise(rate[:11]))
    assert all(a > b for a, b in pairwise(rate[10:101]))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 200))
def test_schedule_stays_between_its_bounds(warmup: int, more: int, step: int):
    rate = float(learning_rate(replace(CONFIG, warmup_steps=warmup), warmup + more, step))
    assert 0 < rate <= 1e-3 * (1 + 1e-6)
    assert step < warmup or rate >= 1e-4 * (1 - 1e-6)


@pytest.mark.parametrize("size", [0.1, 50.0])
def test_clip_divides_by_norm_plus_epsilon_and_only_shrinks(size: float):
    grads = {"a": jnp.full((2, 2), size), "b": jnp.full(3, -size)}
    clipped, _ = clip_by_global_norm(1.0).update(grads, clip_by_global_norm(1.0).init(grads))
    factor = min(1.0, 1.0 / (size * math.sqrt(7) + 1e-6))
    np.testing.assert_allclose(clipped["a"], grads["a"] * factor, rtol=1e-6)


def test_vectors_are_not_decayed():
    assert is_decayed({"kernel": np.zeros((2, 2)), "bias": np.zeros(2)}) == {"kernel": True, "bias": False}


def test_five_updates_equal_adamw_written_out():
    rng = np.random.default_rng(0)
    params = {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)}
    config = replace(CONFIG, clip_norm=0.5, weight_decay=0.3, warmup_steps=2, epsilon=1e-3)
    optimizer = make_optimizer(config, 10)
    ours = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    state = optimizer.init(ours)
    mean = {name: np.zeros_like(value) for name, value in params.items()}
    square = {name: np.zeros_like(value) for name, value in params.items()}
    for step in range(5):
        grads = {name: rng.normal(size=value.shape) for name, value in params.items()}
        updates, state = optimizer.update({n: jnp.asarray(g, jnp.float32) for n, g in grads.items()}, state, ours)
        ours = {name: ours[name] + updates[name] for name in ours}
        norm = math.sqrt(sum((g**2).sum() for g in grads.values()))
        rate = float(learning_rate(config, 10, step))
        for name, grad in grads.items():
            grad = grad * min(1.0, 0.5 / (norm + 1e-6))
            mean[name] = 0.9 * mean[name] + 0.1 * grad
            square[name] = 0.99 * square[name] + 0.01 * grad**2
            corrected = mean[name] / (1 - 0.9 ** (step + 1))
            root = np.sqrt(square[name] / (1 - 0.99 ** (step + 1))) + 1e-3
            decay = 0.3 if params[name].ndim >= 2 else 0.0
            params[name] = params[name] * (1 - rate * decay) - rate * corrected / root
    for name, value in params.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-5)
