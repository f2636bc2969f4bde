"""The single head: attention by its definition, and nothing that passes beside it."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config.model import SingleHeadConfig
from tests import tiny
from tests.models import rungs

CONFIG = SingleHeadConfig(width=16, context=8, vocab_size=11)


@pytest.fixture(autouse=True, scope="module")
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def test_every_matrix_is_drawn_with_init_std():
    square = {f"attention.{name}.kernel": ((64, 64), 0.05) for name in ("query", "key", "value")}
    ends = {"token_embed.embedding": ((90, 64), 0.05), "head.kernel": ((64, 90), 0.05)}
    position = {"position_embed.embedding": ((70, 64), 0.05)}
    rungs.check_init(SingleHeadConfig(width=64, context=70, vocab_size=90, init_std=0.05), square | ends | position)


def test_logits_are_those_of_one_head_worked_query_by_query():
    model, params = rungs.double(CONFIG)
    ids_T = tiny.tokens(1, 8)[0]
    kernels = [params[f"attention.{name}.kernel"] for name in ("query", "key", "value")]
    y_TD = rungs.head_by_hand(rungs.embedded(params, ids_T), *kernels)
    logits_TV = rungs.logits(model, params, ids_T[None])[0]
    np.testing.assert_allclose(logits_TV, y_TD @ np.asarray(params["head.kernel"]), rtol=1e-11, atol=1e-12)


def test_each_token_sees_itself_and_all_before():
    np.testing.assert_array_equal(rungs.seen(CONFIG, 8), np.tri(8, dtype=bool))


def test_nothing_passes_beside_the_head():
    model, params = rungs.double(CONFIG)
    params["attention.value.kernel"] = jnp.zeros_like(params["attention.value.kernel"])
    assert not np.any(rungs.logits(model, params, tiny.tokens(2, 8)))


def test_the_order_of_earlier_tokens_is_known_from_positions_alone():
    model, params = rungs.double(CONFIG)
    ids = tiny.tokens(1, 8)
    swapped = ids[:, [1, 0, *range(2, 8)]]
    assert not np.allclose(rungs.logits(model, params, ids)[0, -1], rungs.logits(model, params, swapped)[0, -1])
    params["position_embed.embedding"] = jnp.zeros_like(params["position_embed.embedding"])
    without = [rungs.logits(model, params, text)[0, -1] for text in (ids, swapped)]
    np.testing.assert_allclose(without[0], without[1], rtol=1e-11)


@pytest.mark.parametrize(("padding", "cut"), [([0, 0], 3), ([3, 0, 1], 4)])
def test_a_padded_cache_read_in_parts_equals_each_row_alone(padding: list[int], cut: int):
    rungs.check_cache(CONFIG, padding, cut)
