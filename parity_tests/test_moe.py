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

from jaxdec.config.parts import MoE
from jaxdec.layers.moe import router
from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Comparison, Difference, relative, require
from jaxdec.parity.pairs.jax_twin import JaxTwin
from jaxdec.parity.pairs.pairs import pair_of_run
from jaxdec.parity.pairs.run import twin_run
from jaxdec.parity.pairs.stages import compare, torch_gradients
from jaxdec.parity.sides.candidate_side import native, numpy
from jaxdec.parity.sides.reference_side import tensors_of
from jaxdec.parity.sides.stages import BEFORE, Sides
from parity_tests.twins import DROPS, GENERIC, halves, sides
from tests.variants import GPT
from torchref.layers.moe import moe as torch_moe
from torchref.layers.moe import router as torch_router

NOISY = twin_run(replace(GPT, mlp=MoE(experts=4, top_k=2, noisy=True)))


def test_the_pair_that_drops_does() -> None:
    """In training and at evaluation, in both frameworks to the same share."""
    model, twin = halves(DROPS)[0].model("float64"), sides(DROPS).reference.build(GENERIC)
    tokens = sides(DROPS).pair.draw(0, 1)[0]["tokens"]
    for training in (True, False):
        key = jax.random.key(0) if training else None
        ours = jax.jit(model.apply)(sides(DROPS).candidate.params(GENERIC), tokens, key=key)
        theirs = twin.train(training)(torch.from_numpy(tokens))
        assert 0.05 < ours.metrics["dropped_fraction"] < 0.7
        for name in ("metrics", "aux"):
            values = {key: value.item() for key, value in getattr(theirs, name).items()}
            require(
                relative(
                    name, {key: np.asarray(v) for key, v in getattr(ours, name).items()}, values, tolerances.SEMANTIC
                )
            )


@functools.cache
def noisy() -> Sides:
    return Sides(pair_of_run("noisy", NOISY))


def noises() -> Iterator[np.ndarray]:
    """The noise of each layer in turn, [N,E]."""
    rng = np.random.default_rng(0)
    return iter([rng.standard_normal((NOISY.config.batch_size * NOISY.config.window, 4)) for _ in range(GPT.layers)])


@functools.cache
def noisy_jax() -> tuple[float, dict[str, np.ndarray]]:
    drawn = noises()

    def given_noise(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jnp.asarray(next(drawn))

    with native("float64"), mock.patch.object(router, "router_noise", given_noise):
        params, batch = noisy().candidate.params(GENERIC), noisy().pair.draw(0, 1)[0]
        loss, grads = JaxTwin(NOISY).gradients(params, batch, "float64", 1)
        return float(loss), numpy(grads)


def noisy_comparisons() -> list[Comparison]:
    """Loss and gradients of both sides with the same noise put in."""
    twin = noisy().reference.build(GENERIC)
    for layer, noise in zip((m for m in twin.modules() if isinstance(m, torch_moe.MoEModule)), noises(), strict=True):
        layer.noise_NE = torch.from_numpy(noise)
    loss = noisy().pair.reference.backward(twin, tensors_of(noisy().pair.draw(0, 1)[0]))
    return compare("noise", noisy_jax(), (loss.item(), torch_gradients(twin, noisy())))


def test_noisy_gates_agree_given_the_same_noise() -> None:
    require(noisy_comparisons())
    without = compare("noise", *noisy().gradients(GENERIC))
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


def test_the_router_is_not_rounded_to_the_compute_dtype() -> None:
    """Where the exact scores' margin exceeds float32's error, tokens go where exact arithmetic sends them."""
    at, name = GENERIC.at("bfloat16"), "blocks.0.mlp.router"
    ours, theirs = (side.forward(at).left for side in (sides(DROPS).candidate, sides(DROPS).reference))
    kernel = sides(DROPS).transfer.weights(at).candidate[f"{name}.kernel"]
    exact = ours["blocks.0.mlp_norm"].reshape(-1, GPT.width) @ kernel
    np.testing.assert_allclose(ours[name], exact, rtol=1e-5, atol=1e-5)
    ranked = np.sort(exact, axis=-1)
    clear = ranked[:, -2] - ranked[:, -3] > 1e-4
    assert clear.mean() > 0.95
    chosen = [np.sort(np.argsort(-scores, axis=-1)[clear, :2], axis=-1) for scores in (ours[name], exact)]
    np.testing.assert_array_equal(*chosen)
    with mock.patch.object(torch_moe, "at_least_float32", lambda x: x):
        rounded = sides(DROPS).reference.forward(at).left[name]
    assert np.abs(theirs[name] - exact).max() < np.abs(rounded - exact).max()


@pytest.mark.parametrize("stage", ["taps", "routing", "gradients"])
def test_float32_is_no_less_exact_than_the_twin(stage: str) -> None:
    """Without drops: test_rounding."""
    require(BEFORE[stage](sides(DROPS), GENERIC.at("float32")))
