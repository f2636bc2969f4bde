"""Layer norm against its definition, and its handwritten gradient against the derived one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.layers.norm import layer_norm


def plain(x, scale, bias, epsilon):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    y = (x - mean) / jnp.sqrt(variance + epsilon) * (1 if scale is None else scale[None, None])
    return y if bias is None else y + bias[None, None]


@pytest.mark.parametrize(("scaled", "biased"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_values_and_gradients_equal_the_definition(scaled: bool, biased: bool, epsilon: float):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, weights = jnp.asarray(rng.normal(size=(2, 3, 8))), jnp.asarray(rng.normal(size=(2, 3, 8)))
        parts = tuple(jnp.asarray(rng.normal(size=8)) if held else None for held in (scaled, biased))

        def value(function, x, parts):
            return jnp.sum(weights * function(x, *parts, epsilon))

        np.testing.assert_allclose(layer_norm(x, *parts, epsilon), plain(x, *parts, epsilon), rtol=1e-12)
        ours = jax.grad(value, argnums=(1, 2))(layer_norm, x, parts)
        theirs = jax.grad(value, argnums=(1, 2))(plain, x, parts)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), ours, theirs)


def test_a_large_mean_costs_no_digits():
    x = 1000 + np.random.default_rng(0).normal(size=(1, 64)).astype(np.float32)
    exact = (x.astype(np.float64) - x.astype(np.float64).mean()) / x.astype(np.float64).std()
    np.testing.assert_allclose(layer_norm(jnp.asarray(x), jnp.ones(64), None, 1e-12), exact, atol=2e-4)


def test_bfloat16_is_normalised_in_float32_and_given_back():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 64)), jnp.bfloat16)
    y, pull = jax.vjp(lambda x, scale: layer_norm(x, scale, None, 1e-5), x, jnp.ones(64))
    wide = layer_norm(x.astype(jnp.float32), jnp.ones(64), None, 1e-5)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))
    assert [part.dtype for part in pull(y)] == [jnp.bfloat16, jnp.float32]
