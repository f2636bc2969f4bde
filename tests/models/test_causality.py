"""No model reads what follows: the gradient of the output at t by the input at any later place is exactly zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.run import Precision
from jaxdec.layers.embed import Embed
from jaxdec.models.functional import Model
from tests import tiny
from tests.variants import MODELS

LENGTH = 12


@cache
def input_gradient(name: str) -> Callable[[int], np.ndarray]:
    """place -> the size of d logits[place] / d (embedding of the token at each place), [T]."""
    model = Model(MODELS[name], Precision())
    params, tokens = tiny.generic_params(model), tiny.tokens(1, LENGTH, vocab_size=37)
    lookup = Embed.__call__

    def logit(change_TD: jax.Array, place: jax.Array, weights_V: jax.Array) -> jax.Array:
        def changed(table: Embed, ids: jax.Array, dtype: jnp.dtype) -> jax.Array:
            vectors = lookup(table, ids, dtype)
            return vectors + change_TD[None] if len(table.embedding[...]) == 37 else vectors

        with mock.patch.object(Embed, "__call__", changed):
            logits_TV = model.apply(params, tokens).logits_BTV[0]
        return jnp.dot(jnp.take(logits_TV, place, axis=0), weights_V)

    gradient = jax.jit(jax.grad(logit))
    weights_V = jnp.asarray(np.random.default_rng(1).normal(size=37), jnp.float32)
    change_TD = jnp.zeros((LENGTH, MODELS[name].width))
    return lambda place: np.abs(gradient(change_TD, place, weights_V)).sum(-1)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=8, deadline=None)
@given(place=st.integers(0, LENGTH - 1))
def test_no_output_depends_on_a_later_input(name: str, place: int):
    sizes_T = input_gradient(name)(place)
    assert np.all(sizes_T[place + 1 :] == 0.0)
    assert sizes_T[place] > 0.0
    if name == "bigram":
        assert np.all(sizes_T[:place] == 0.0)
