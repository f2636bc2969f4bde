"""The bridge between parameter names and layouts: exact both ways, and loud when something does not fit."""

from __future__ import annotations

import jax
import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP
from jaxdec.config.run import Precision
from jaxdec.errors import UserError
from jaxdec.models.functional import Model
from jaxdec.parity.sides.weights import generic_weights
from jaxdec.weights.torchref import from_torchref, to_torchref, torch_name
from torchref.models.decoder import Decoder

Arrays = dict[str, np.ndarray]

configs = st.builds(
    lambda layers, heads, channels, expansion, **rest: DecoderConfig(
        layers=layers, heads=heads, width=heads * channels, mlp=MLP(expansion), **rest
    ),
    layers=st.integers(1, 3),
    heads=st.integers(1, 3),
    channels=st.integers(1, 4),
    expansion=st.integers(1, 3),
    context=st.integers(1, 6),
    vocab_size=st.integers(1, 9),
    bias=st.booleans(),
    tied_head=st.booleans(),
)


def twins(config: DecoderConfig) -> tuple[dict[str, jax.ShapeDtypeStruct], dict[str, torch.Tensor]]:
    return Model(config, Precision()).shapes(), Decoder(config, compute_dtype=torch.float32).state_dict()


@settings(max_examples=20)
@given(configs, st.integers(0, 2**32 - 1))
def test_there_and_back_is_the_same(config: DecoderConfig, seed: int) -> None:
    shapes, state = twins(config)
    params = generic_weights(shapes, seed)
    carried = to_torchref(params, expected=state)
    assert list(carried) == [torch_name(name) for name in params]
    back = from_torchref(carried, expected=shapes)
    assert set(back) == set(params)
    for name, value in params.items():
        np.testing.assert_array_equal(back[name], value)
        assert back[name].dtype == value.dtype


@settings(max_examples=20)
@given(configs)
def test_initial_weights_of_the_twin_there_and_back(config: DecoderConfig) -> None:
    shapes, state = twins(config)
    again = to_torchref(from_torchref(state, expected=shapes), expected=state)
    assert set(again) == set(state)
    for name, value in state.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=0)


@pytest.fixture
def config() -> DecoderConfig:
    return DecoderConfig(layers=1, heads=2, width=4, context=3, vocab_size=5, tied_head=False)


@pytest.fixture
def params(config: DecoderConfig) -> Arrays:
    return generic_weights(twins(config)[0], 0)


def test_layouts_of_each_leaf(config: DecoderConfig, params: Arrays) -> None:
    state = to_torchref(params, expected=twins(config)[1])
    np.testing.assert_array_equal(state["blocks.0.mlp.up.weight"], params["blocks.0.mlp.up.kernel"].T)
    np.testing.assert_array_equal(state["token_embed.weight"], params["token_embed.embedding"])
    np.testing.assert_array_equal(state["final_norm.weight"], params["final_norm.scale"])
    np.testing.assert_array_equal(state["final_norm.bias"], params["final_norm.bias"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_dtypes_are_kept_to_the_bit(config: DecoderConfig, params: Arrays, dtype: type) -> None:
    shapes, state = twins(config)
    given = {name: value.astype(dtype) for name, value in params.items()}
    carried = to_torchref(given, expected=state)
    assert {str(value.dtype).removeprefix("torch.") for value in carried.values()} == {np.dtype(dtype).name}
    back = from_torchref(carried, expected=shapes)
    for name, value in given.items():
        assert back[name].dtype == dtype
        np.testing.assert_array_equal(back[name], value)


def test_what_is_carried_over_shares_no_memory(config: DecoderConfig, params: Arrays) -> None:
    shapes, state = twins(config)
    before = {name: value.copy() for name, value in params.items()}
    carried = to_torchref(params, expected=state)
    back = from_torchref(carried, expected=shapes)
    for value in carried.values():
        value.zero_()
    for name, value in before.items():
        np.testing.assert_array_equal(params[name], value)
        np.testing.assert_array_equal(back[name], value)


@pytest.mark.parametrize("name", ["head.kernel", "blocks.0.attention.key.bias"])
def test_a_missing_parameter_is_named(config: DecoderConfig, params: Arrays, name: str) -> None:
    shapes, state = twins(config)
    complete = to_torchref(params, expected=state)
    del params[name], complete[torch_name(name)]
    with pytest.raises(UserError, match=rf"the torch model needs {torch_name(name)}, missing"):
        to_torchref(params, expected=state)
    with pytest.raises(UserError, match=rf"the JAX model needs {name}, missing"):
        from_torchref(complete, expected=shapes)


def test_a_left_over_parameter_is_named(config: DecoderConfig, params: Arrays) -> None:
    shapes, state = twins(config)
    complete = to_torchref(params, expected=state)
    params["blocks.1.mlp.up.kernel"] = np.zeros((4, 16))
    complete["blocks.1.mlp.up.weight"] = torch.zeros(16, 4)
    with pytest.raises(UserError, match=r"no place for blocks\.1\.mlp\.up\.weight"):
        to_torchref(params, expected=state)
    with pytest.raises(UserError, match=r"no place for blocks\.1\.mlp\.up\.weight"):
        from_torchref(complete, expected=shapes)


def test_a_misshapen_parameter_is_named_with_both_shapes(config: DecoderConfig, params: Arrays) -> None:
    shapes, state = twins(config)
    complete = to_torchref(params, expected=state)
    params["blocks.0.mlp.up.kernel"] = params["blocks.0.mlp.up.kernel"].T
    complete["blocks.0.mlp.up.weight"] = complete["blocks.0.mlp.up.weight"].T
    with pytest.raises(UserError, match=r"blocks\.0\.mlp\.up\.weight has shape \(4, 16\) where .* \(16, 4\)"):
        to_torchref(params, expected=state)
    with pytest.raises(UserError, match=r"blocks\.0\.mlp\.up\.kernel has shape \(16, 4\) where .* \(4, 16\)"):
        from_torchref(complete, expected=shapes)


def test_two_parameters_for_one_torch_name_are_named(config: DecoderConfig, params: Arrays) -> None:
    params["final_norm.kernel"] = params["final_norm.scale"]
    with pytest.raises(UserError, match=r"final_norm\.kernel, final_norm\.scale map to the same"):
        to_torchref(params, expected=twins(config)[1])


def test_leaves_of_other_kinds_keep_name_and_layout() -> None:
    experts = np.arange(24.0).reshape(2, 3, 4)
    carried = to_torchref({"blocks.0.moe.up": experts}, expected={"blocks.0.moe.up": torch.zeros(2, 3, 4)})
    np.testing.assert_array_equal(carried["blocks.0.moe.up"], experts)
