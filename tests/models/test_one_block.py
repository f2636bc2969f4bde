"""One block: residual sums, norms before each branch and none before the head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config.model import DecoderConfig, OneBlockConfig
from jaxdec.config.parts import MLP, GatedMLP, LayerNorm, RMSNorm
from jaxdec.models.functional import Model, Params
from tests import tiny
from tests.models import rungs

CONFIG = OneBlockConfig(heads=4, width=16, context=8, vocab_size=11)


@pytest.fixture(autouse=True, scope="module")
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def test_projections_back_to_the_stream_start_smaller():
    stds = {"query": 0.05, "key": 0.05, "value": 0.05, "out": 0.025}
    expected = {
        f"blocks.{block}.attention.{name}.kernel": ((64, 64), std) for block in (0, 1) for name, std in stds.items()
    }
    for block in (0, 1):
        expected[f"blocks.{block}.mlp.up.kernel"] = ((64, 256), 0.05)
        expected[f"blocks.{block}.mlp.down.kernel"] = ((256, 64), 0.025)
    expected |= {"token_embed.embedding": ((90, 64), 0.05), "head.kernel": ((64, 90), 0.05)}
    expected["position_embed.embedding"] = ((70, 64), 0.05)
    rungs.check_init(OneBlockConfig(heads=2, width=64, context=70, layers=2, vocab_size=90, init_std=0.05), expected)


def test_without_its_branches_the_block_lets_the_embeddings_through():
    model, params = rungs.double(CONFIG)
    for name in ("attention.out.kernel", "attention.out.bias", "mlp.down.kernel", "mlp.down.bias"):
        params[f"blocks.0.{name}"] = jnp.zeros_like(params[f"blocks.0.{name}"])
    ids_T = tiny.tokens(1, 8)[0]
    expected = rungs.embedded(params, ids_T) @ np.asarray(params["head.kernel"])
    np.testing.assert_allclose(rungs.logits(model, params, ids_T[None])[0], expected, rtol=1e-12, atol=1e-13)


def norm_by_hand(x_TD: np.ndarray, params: Params, name: str) -> np.ndarray:
    normal = (x_TD - x_TD.mean(1, keepdims=True)) / np.sqrt(x_TD.var(1, keepdims=True) + 1e-5)
    return normal * np.asarray(params[f"{name}.scale"])[None] + np.asarray(params[f"{name}.bias"])[None]


def test_logits_are_those_of_a_block_worked_by_hand():
    model, params = rungs.double(replace(CONFIG, heads=1, mlp=MLP(activation="relu")))
    # The heads' definition has no biases, and is tested with several heads elsewhere.
    params |= {name: jnp.zeros_like(params[name]) for name in params if name.endswith(("query.bias", "key.bias"))}
    weight = {name.removeprefix("blocks.0."): np.asarray(value) for name, value in params.items()}
    ids_T = tiny.tokens(1, 8)[0]
    x_TD = rungs.embedded(params, ids_T)
    normal_TD = norm_by_hand(x_TD, params, "blocks.0.attention_norm")
    kernels = [weight[f"attention.{name}.kernel"] for name in ("query", "key", "value")]
    gathered_TD = rungs.head_by_hand(normal_TD, *kernels) + weight["attention.value.bias"][None]
    x_TD = x_TD + gathered_TD @ weight["attention.out.kernel"] + weight["attention.out.bias"][None]
    hidden_TF = norm_by_hand(x_TD, params, "blocks.0.mlp_norm") @ weight["mlp.up.kernel"] + weight["mlp.up.bias"][None]
    x_TD = x_TD + np.maximum(hidden_TF, 0) @ weight["mlp.down.kernel"] + weight["mlp.down.bias"][None]
    logits_TV = rungs.logits(model, params, ids_T[None])[0]
    np.testing.assert_allclose(logits_TV, x_TD @ weight["head.kernel"], rtol=1e-11, atol=1e-12)


def test_it_lacks_only_the_final_norm_and_the_tied_head_of_a_decoder():
    _, params = rungs.double(replace(CONFIG, layers=2))
    decoder = Model(DecoderConfig(layers=2, heads=4, width=16, context=8, vocab_size=11, tied_head=False), rungs.DOUBLE)
    assert set(decoder.shapes()) - set(params) == {"final_norm.scale", "final_norm.bias"}
    assert set(params) <= set(decoder.shapes())


def test_each_token_sees_itself_and_all_before():
    np.testing.assert_array_equal(rungs.seen(replace(CONFIG, layers=2), 8), np.tri(8, dtype=bool))


@pytest.mark.parametrize(("padding", "cut"), [([0, 0], 3), ([3, 0, 1], 4)])
def test_a_padded_cache_read_in_parts_equals_each_row_alone(padding: list[int], cut: int):
    rungs.check_cache(replace(CONFIG, layers=2), padding, cut)


CHANGES: dict[str, Any] = {
    "heads": 2,
    "width": 32,
    "context": 9,
    "layers": 2,
    "vocab_size": 12,
    "norm": LayerNorm(epsilon=0.1),
    "mlp": GatedMLP(hidden=64),
    "dropout": 0.5,
    "init_std": 0.5,
}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_the_output_or_a_shape(field: str):
    assert set(CHANGES) == {field.name for field in fields(CONFIG)}
    (base, params), (other, other_params) = (
        rungs.double(config) for config in (CONFIG, replace(CONFIG, **{field: CHANGES[field]}))
    )
    if base.shapes() != other.shapes():
        return
    key, ids = jax.random.key(3), tiny.tokens(2, 8)
    if field == "init_std":
        params, other_params = (jax.jit(model.init)(key) for model in (base, other))
    a, b = rungs.logits(base, params, ids, key), rungs.logits(other, other_params, ids, key)
    assert not np.allclose(a, b, atol=1e-6)


def test_norms_can_be_root_mean_squares():
    assert not any("norm.bias" in name for name in Model(replace(CONFIG, norm=RMSNorm()), rungs.DOUBLE).shapes())


def test_dropout_needs_a_key_and_reaches_embeddings_and_block():
    model, params = rungs.double(replace(CONFIG, dropout=0.5))
    ids, key = tiny.tokens(2, 8), jax.random.key(0)
    still = rungs.logits(Model(CONFIG, rungs.DOUBLE), params, ids)
    np.testing.assert_array_equal(rungs.logits(model, params, ids), still)
    branches = {
        f"blocks.0.{name}"
        for name in ("attention.out.kernel", "attention.out.bias", "mlp.down.kernel", "mlp.down.bias")
    }
    tables = {"token_embed.embedding", "position_embed.embedding"}
    for silent in (branches, tables):
        rest = params | {name: jnp.zeros_like(params[name]) for name in silent}
        assert not np.allclose(rungs.logits(model, rest, ids, key), rungs.logits(model, rest, ids))
