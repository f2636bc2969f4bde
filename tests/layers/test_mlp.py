"""Feed-forward layers: gates against their definitions, element by element, and the hidden channels of plain ones."""

from __future__ import annotations

from math import erf, exp, sqrt, tanh
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config.parts import MLP, Activation, GatedMLP
from jaxdec.errors import UserError
from jaxdec.layers.mlp import ACTIVATIONS, gated

BY_HAND: dict[Activation, Any] = {
    "silu": lambda x: x / (1 + exp(-x)),
    "relu": lambda x: max(x, 0.0),
    "gelu": lambda x: x * (1 + erf(x / sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    "gelu_sigmoid": lambda x: x / (1 + exp(-1.702 * x)),
    "relu_squared": lambda x: max(x, 0) ** 2,
}


def test_every_activation_is_known_by_hand() -> None:
    assert set(BY_HAND) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", BY_HAND)
@pytest.mark.parametrize(("clamp", "shift"), [(None, 0.0), (7.0, 1.0), (0.5, -0.25)])
def test_a_gate_equals_its_definition(activation: Activation, clamp: float | None, shift: float) -> None:
    part, rng = GatedMLP(4, activation, clamp, shift), np.random.default_rng(0)
    gates, ups = 6 * rng.normal(size=200), 6 * rng.normal(size=200)
    limit = np.inf if clamp is None else clamp
    expected = [
        BY_HAND[activation](min(gate, limit)) * (max(-limit, min(up, limit)) + shift)
        for gate, up in zip(gates, ups, strict=True)
    ]
    with jax.enable_x64(True):
        np.testing.assert_allclose(gated(part, jnp.asarray(gates), jnp.asarray(ups)), expected, rtol=1e-12, atol=1e-12)


def test_no_gradient_passes_a_clamp() -> None:
    part = GatedMLP(4, clamp=1.0, up_shift=0.5)
    of_gate, of_up = jax.grad(lambda *given: gated(part, *given).sum(), (0, 1))(*map(jnp.asarray, ((-3.0, 3.0),) * 2))
    assert of_gate[0] != 0.0 == of_gate[1], "a gate is cut off above alone"
    assert list(of_up) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"clamp": 0.0}, "model.mlp.clamp is 0.0: give more than 0, or None"),
        ({"up_shift": float("nan")}, "model.mlp.up_shift is nan: give a finite number"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        GatedMLP(8, **values)


@pytest.mark.parametrize(("part", "hidden"), [(MLP(), 48), (MLP(2), 24), (MLP(hidden=7), 7), (GatedMLP(7), 7)])
def test_hidden_channels_of_a_model_of_width_12(part: MLP | GatedMLP, hidden: int) -> None:
    assert part.resolved_hidden(12) == hidden


def test_hidden_channels_given_twice_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"model\.mlp has expansion 2 and hidden 24, which both set its hidden channels"
    ):
        MLP(expansion=2, hidden=24)
