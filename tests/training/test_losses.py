"""Cross entropy, and one meaning of "mean"."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jaxdec.models.output import Output
from jaxdec.training.losses import language_loss, token_losses


def test_token_losses_are_minus_log_softmax():
    logits = np.random.default_rng(0).normal(size=(2, 3, 5)) * 4
    targets = np.array([[0, 1, 2], [4, 3, 0]])
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(probabilities, targets[..., None], -1))[..., 0]
    np.testing.assert_allclose(token_losses(jnp.asarray(logits), jnp.asarray(targets)), expected, rtol=1e-5)


def test_large_logits_stay_finite():
    logits = jnp.array([[[1e4, 0.0, -1e4]]])
    np.testing.assert_allclose(token_losses(logits, jnp.array([[1]])), [[1e4]])


def test_only_counted_targets_enter_the_sum():
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 5)), jnp.float32)
    targets = jnp.array([[0, 1, 2], [4, 3, 0]])
    mask = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    total, parts = language_loss(Output(logits, None, {}, {}), {"targets": targets, "mask": mask})
    losses = token_losses(logits, targets)
    np.testing.assert_allclose(total, losses[0, 0] + losses[1, 2], rtol=1e-6)
    assert parts == {}


def test_auxiliary_losses_count_once_for_each_target():
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 5)), jnp.float32)
    batch = {"targets": jnp.zeros((2, 3), jnp.int32), "mask": jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])}
    plain, _ = language_loss(Output(logits, None, {}, {}), batch)
    output = Output(logits, None, {"balance_loss": jnp.float32(0.5)}, {"router_entropy": jnp.float32(2.0)})
    total, parts = language_loss(output, batch)
    np.testing.assert_allclose(total, plain + 3 * 0.5, rtol=1e-6)
    np.testing.assert_allclose([parts["cross_entropy"], parts["balance_loss"]], [plain, 1.5], rtol=1e-6)
    np.testing.assert_allclose(parts["router_entropy"], 6.0)
