"""Several heads: each by the definition, side by side, then projected; one of them is the single head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config.model import MultiHeadConfig, SingleHeadConfig
from jaxdec.errors import UserError
from jaxdec.models.functional import Model, Params
from tests import tiny
from tests.models import rungs

CONFIG = MultiHeadConfig(heads=4, width=16, context=8, vocab_size=11)
PROJECTIONS = ("query", "key", "value")


@pytest.fixture(autouse=True, scope="module")
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def channels_of(head: int) -> slice:
    return slice(4 * head, 4 * head + 4)


def heads_by_hand(params: Params, ids_T: np.ndarray) -> np.ndarray:
    """What the four heads gather, side by side: [T,D]."""
    x_TD, kernels = (
        rungs.embedded(params, ids_T),
        [np.asarray(params[f"attention.{name}.kernel"]) for name in PROJECTIONS],
    )
    parts = [rungs.head_by_hand(x_TD, *(kernel[:, channels_of(head)] for kernel in kernels)) for head in range(4)]
    return np.concatenate(parts, axis=1)


def test_every_matrix_is_drawn_with_init_std():
    square = {f"attention.{name}.kernel": ((64, 64), 0.05) for name in (*PROJECTIONS, "out")}
    ends = {"token_embed.embedding": ((90, 64), 0.05), "head.kernel": ((64, 90), 0.05)}
    position = {"position_embed.embedding": ((70, 64), 0.05)}
    rungs.check_init(
        MultiHeadConfig(heads=2, width=64, context=70, vocab_size=90, init_std=0.05), square | ends | position
    )


def test_logits_are_those_of_heads_worked_one_by_one():
    model, params = rungs.double(CONFIG)
    ids_T = tiny.tokens(1, 8)[0]
    out, head = np.asarray(params["attention.out.kernel"]), np.asarray(params["head.kernel"])
    logits_TV = rungs.logits(model, params, ids_T[None])[0]
    np.testing.assert_allclose(logits_TV, heads_by_hand(params, ids_T) @ out @ head, rtol=1e-11, atol=1e-12)


def test_one_head_without_a_projection_is_the_single_head():
    model, params = rungs.double(replace(CONFIG, heads=1))
    params["attention.out.kernel"] = jnp.eye(16)
    single = Model(SingleHeadConfig(width=16, context=8, vocab_size=11), rungs.DOUBLE)
    shared = {name: value for name, value in params.items() if name != "attention.out.kernel"}
    ids = tiny.tokens(2, 8)
    expected = rungs.logits(single, shared, ids)
    np.testing.assert_allclose(rungs.logits(model, params, ids), expected, rtol=1e-12, atol=1e-13)


def test_the_order_of_the_heads_does_not_matter():
    model, params = rungs.double(CONFIG)
    channels = np.concatenate([np.arange(16)[channels_of(head)] for head in (2, 0, 3, 1)])
    other = dict(params)
    for name in PROJECTIONS:
        other[f"attention.{name}.kernel"] = params[f"attention.{name}.kernel"][:, channels]
    other["attention.out.kernel"] = params["attention.out.kernel"][channels]
    ids = tiny.tokens(2, 8)
    expected = rungs.logits(model, params, ids)
    np.testing.assert_allclose(rungs.logits(model, other, ids), expected, rtol=1e-11, atol=1e-12)


def test_the_number_of_heads_changes_the_output_and_no_shape():
    model, params = rungs.double(CONFIG)
    two = Model(replace(CONFIG, heads=2), rungs.DOUBLE)
    assert two.shapes() == model.shapes()
    ids = tiny.tokens(2, 8)
    assert not np.allclose(rungs.logits(model, params, ids), rungs.logits(two, params, ids))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UserError, match=r"model\.heads 3 does not divide model\.width 16"):
        replace(CONFIG, heads=3)


def test_each_token_sees_itself_and_all_before():
    np.testing.assert_array_equal(rungs.seen(CONFIG, 8), np.tri(8, dtype=bool))


@pytest.mark.parametrize(("padding", "cut"), [([0, 0], 3), ([3, 0, 1], 4)])
def test_a_padded_cache_read_in_parts_equals_each_row_alone(padding: list[int], cut: int):
    rungs.check_cache(CONFIG, padding, cut)
