"""A cache read in parts, with padded rows and windows that have moved on, gives what each row alone gives without."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.parts import Local
from jaxdec.config.run import Precision
from jaxdec.layers.attention.cache import empty_cache, patterns
from jaxdec.models.functional import Model, Params
from tests import tiny
from tests.variants import MODELS

DOUBLE = Precision("float64", "float64")


@cache
def prepared(name: str) -> tuple[Model, Params, Callable[..., jax.Array]]:
    with jax.enable_x64(True):
        model = Model(MODELS[name], DOUBLE)
        return model, tiny.generic_params(model), jax.jit(model.apply)


CUTS = [(5,), (1, 2), (4, 5, 6, 7)]
# Each length of a part is a program to compile. Models whose caches are filled and read as another's are long.
AS_ANOTHER = ("one head, untied, no bias, erf", "three layers, untied, relu", "yarn", "linear scaling", "norms after")
READ = [pytest.param(name, (4, 5), marks=[pytest.mark.long] * (name in AS_ANOTHER)) for name in MODELS]
READ += [pytest.param(name, cuts, marks=[pytest.mark.long] * (name != "local")) for name in MODELS for cuts in CUTS]


@pytest.mark.parametrize(("name", "cuts"), READ)
@settings(max_examples=4)
@given(padding=st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_read_in_parts_equals_each_row_alone(name: str, cuts: tuple[int, ...], padding: list[int]):
    with jax.enable_x64(True):
        model, params, apply = prepared(name)
        length = 12
        ids = tiny.tokens(3, length, seed=sum(padding), vocab_size=37)
        padding_B = np.array(padding)
        padded = np.zeros((3, length + 3), np.int32)
        for row, pad in enumerate(padding_B):
            padded[row, pad : pad + length] = ids[row]
        state = empty_cache(model.config, jnp.asarray(padding_B), 16, jnp.dtype("float64"))
        outputs = []
        for part in np.split(padded, [3 + cut for cut in cuts], axis=1):
            output = apply(params, part, cache=state)
            state = output.cache
            outputs.append(output.logits_BTV)
        logits = np.concatenate(outputs, axis=1)
        alone = apply(params, ids).logits_BTV
        for row, pad in enumerate(padding_B):
            ours, theirs = logits[row, pad : pad + length], np.asarray(alone[row])
            assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)


@pytest.mark.parametrize("name", MODELS)
def test_a_layer_with_a_window_keeps_no_more_than_the_window(name: str):
    config = MODELS[name]
    layers = empty_cache(config, jnp.zeros(2, jnp.int32), 16, jnp.dtype("float32")).layers
    for pattern, layer in zip(patterns(config), layers, strict=True):
        assert layer.keys.shape[1] == (pattern.window if isinstance(pattern, Local) else 16)
        assert layer.keys.shape[2] == config.decoder.resolved_kv_heads  # type: ignore[union-attr]
