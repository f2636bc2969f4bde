"""Mixtures of experts that drop and that draw noise: both frameworks route every token alike."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.layer_config import MoE
from jaxdec.layers import router
from jaxdec.losses import language_loss
from jaxdec.parity import bars
from jaxdec.parity.comparison import Comparison, Difference, relative, require
from jaxdec.train import train_step
from parity_tests import checks, jax_side, torch_side
from parity_tests.cases import Case, case_of, make_case
from parity_tests.mutants.moe import DROPS, DROPS_INIT
from tests.variants import GPT
from torchref.layers import moe as torch_moe
from torchref.layers import router as torch_router

NOISY = make_case("moe, noisy", replace(GPT, mlp=MoE(experts=4, top_k=2, noisy=True)), "generic")
STAGES = ("init", "activations", "gradients", "optimizer", "accumulation", "dropout", "trajectory")  # no cache: drops


@pytest.mark.parametrize("stage", STAGES)
def test_the_twins_drop_alike(stage: str) -> None:
    require(checks.SEMANTIC_STAGES[stage](DROPS_INIT if stage == "init" else DROPS, jax_side, torch_side))


def test_the_case_that_drops_does() -> None:
    """In training and at evaluation, in both frameworks to the same share."""
    model, twin = jax_side.model_of(DROPS), torch_side.build(DROPS)
    tokens = DROPS.batches(1)[0]["tokens"]
    for training in (True, False):
        key = jax.random.key(0) if training else None
        ours = jax.jit(model.apply)(jax_side.params_of(DROPS), tokens, key=key)
        theirs = twin.train(training)(torch.from_numpy(tokens))
        assert 0.05 < ours.metrics["dropped_fraction"] < 0.7
        for name in ("metrics", "aux"):
            values = {key: value.item() for key, value in getattr(theirs, name).items()}
            require(
                relative(name, {key: np.asarray(v) for key, v in getattr(ours, name).items()}, values, bars.SEMANTIC)
            )


def noises(case: Case) -> Iterator[np.ndarray]:
    """The noise of each layer in turn, [N,E]."""
    rng = np.random.default_rng(case.seed)
    shape = (case.config.batch_size * case.config.window, 4)
    return iter([rng.standard_normal(shape) for _ in range(case.config.model.decoder.layers)])


@functools.cache
def noisy_jax() -> tuple[float, dict[str, np.ndarray]]:
    drawn = noises(NOISY)

    def given_noise(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jnp.asarray(next(drawn))

    with jax_side.native(NOISY), mock.patch.object(router, "router_noise", given_noise):
        model = jax_side.model_of(NOISY)
        program = jax.jit(functools.partial(train_step, model, jax_side.KEEP_GRADIENTS, language_loss))
        return jax_side.run_gradients(program, NOISY, 1)


def noisy_comparisons() -> list[Comparison]:
    """Loss and gradients of both sides with the same noise put in."""
    twin = torch_side.build(NOISY).train()
    for layer, noise in zip((m for m in twin.modules() if isinstance(m, torch_moe.MoE)), noises(NOISY), strict=True):
        layer.noise_NE = torch.from_numpy(noise)
    return checks.compare_gradients(NOISY, "noise", noisy_jax(), torch_side.run_gradients(twin, NOISY, 1))


def test_noisy_gates_agree_given_the_same_noise() -> None:
    require(noisy_comparisons())
    without = checks.compare_gradients(
        NOISY, "noise", jax_side.loss_and_gradients(NOISY, 1), torch_side.loss_and_gradients(NOISY, 1)
    )
    assert not all(comparison.equal for comparison in without), "noise drawn by each framework itself must differ"


@pytest.mark.parametrize(
    "changed",
    [
        lambda scores, spread, noise: scores + noise * torch.exp(spread),
        lambda scores, spread, noise: scores + noise,
        lambda scores, spread, noise: scores,
        lambda scores, spread, noise: scores + noise * torch.nn.functional.softplus(scores),
    ],
    ids=["exp for softplus", "not scaled", "left out", "spread by the scores"],
)
def test_wrong_noise_is_caught(changed) -> None:
    with mock.patch.object(torch_router, "noisy_scores", changed), pytest.raises(Difference):
        require(noisy_comparisons())


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_ties_are_broken_alike(seed: int, top_k: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 3, (16, 5)).astype(np.float64)
    ours, theirs = router.choose(jnp.asarray(scores), top_k), torch_router.choose(torch.from_numpy(scores), top_k)
    np.testing.assert_array_equal(ours, theirs.numpy())


def scores_of(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Router scores of the first mixture: ours, the twin's, and the exact ones of the same bfloat16 input."""
    name = "blocks.0.mlp"
    ours, theirs = jax_side.forward(case), torch_side.forward(case)
    exact = ours["blocks.0.mlp_norm"].reshape(-1, GPT.width) @ jax_side.weights(case)[f"{name}.router.kernel"]
    return ours[f"{name}.router"], theirs[f"{name}.router"], exact


def test_the_router_is_not_rounded_to_the_compute_dtype() -> None:
    """Where the exact scores' margin exceeds float32's error, tokens go where exact arithmetic sends them."""
    ours, theirs, exact = scores_of(DROPS.at("bfloat16"))
    np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=1e-5)
    ranked = np.sort(exact, axis=-1)
    clear = ranked[:, -2] - ranked[:, -3] > 1e-4
    assert clear.mean() > 0.95
    chosen = [np.sort(np.argsort(-scores, axis=-1)[clear, :2], axis=-1) for scores in (ours, exact)]
    np.testing.assert_array_equal(*chosen)
    with mock.patch.object(torch_moe, "at_least_float32", lambda x: x):
        rounded = torch_side.forward(DROPS.at("bfloat16"))["blocks.0.mlp.router"]
    assert np.abs(theirs - exact).max() < np.abs(rounded - exact).max()


def test_float32_is_no_less_exact_than_the_twin() -> None:
    for case in (DROPS, case_of("moe-gpt", "init")):
        checks.rounding(case.at("float32"), jax_side, torch_side, torch_side, bars.FLOAT32_RATIO)
