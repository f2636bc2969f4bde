"""The measuring tools: they must not call different things equal."""

from __future__ import annotations

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jaxdec.parity.adapters.probe import Probe
from jaxdec.parity.adapters.taps import nnx_probe, torch_probe
from jaxdec.parity.compare.comparison import (
    Comparison,
    Difference,
    distance,
    gradient_scales,
    norm_of_all,
    relative,
    relative_to_all,
    require,
    rounding_ratio,
)
from jaxdec.parity.compare.finite import first_not_finite
from jaxdec.parity.compare.null import compare_updates, noise_masks, null_masks
from jaxdec.parity.compare.tolerances import SEMANTIC, Tolerance
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.weights import generic_weights
from parity_tests.twins import GENERIC, INIT, halves, sides

TOLERANCE = Tolerance(1e-11, "for these tests")
finite = st.floats(-1e3, 1e3)
vectors = arrays.arrays(np.float64, (4, 3), elements=finite)


@given(vectors, vectors)
def test_distance_is_symmetric_and_zero_only_for_equals(a: np.ndarray, b: np.ndarray) -> None:
    assert distance(a, b) == distance(b, a)
    assert distance(a, a) == 0
    assert (distance(a, b) == 0) == np.array_equal(a, b)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_never_near_anything(odd: float) -> None:
    """Not even themselves, but for scores that a mask hides on both sides."""
    plain, one, other = np.ones(3), np.array([1, odd, 1]), np.array([odd, 1, 1])
    assert distance(one, one) == (0 if odd == -np.inf else np.inf)
    assert distance(one, plain) == distance(plain, one) == distance(one, other) == np.inf
    assert distance(np.array([np.inf]), np.array([-np.inf])) == np.inf
    assert distance(odd, odd) == np.inf


def test_what_stands_beside_masked_scores_is_compared() -> None:
    """The norm of a tensor with an infinity is infinite: a quotient by it would make everything equal."""
    scores, other = np.array([1.0, -np.inf]), np.array([1.1, -np.inf])
    (equal,) = relative("taps", {"scores": scores}, {"scores": scores}, TOLERANCE)
    (wrong,) = relative("taps", {"scores": other}, {"scores": scores}, TOLERANCE)
    assert equal.measured == 0 and wrong.measured == pytest.approx(0.1)
    for odd in (np.inf, np.nan):
        both = {"x": np.array([1.0, odd])}
        assert not relative("taps", both, both, TOLERANCE)[0].equal


def test_the_first_value_that_is_not_finite_is_named() -> None:
    good, nan, inf, hidden = np.ones(2), np.array([1, np.nan]), np.array([np.inf, 1]), np.array([-np.inf, 1])
    reference = {"first": good, "second": hidden, "third": inf, "last": nan}
    assert first_not_finite({"first": good}, {"first": good}) is None
    assert first_not_finite({"second": hidden}, {"second": hidden}) is None
    for candidate, says in (
        ({"first": nan}, "NaN first in first of the candidate"),
        ({"second": good}, "infinity first in second of the reference"),
        ({"second": hidden}, "infinity first in third of the reference"),
        (
            {"second": hidden, "third": nan},
            "NaN first in third of both sides, which proves nothing even where they agree",
        ),
    ):
        assert str(first_not_finite(candidate, reference)) == says
    assert str(first_not_finite({"alone": nan}, {})) == "NaN first in alone of the candidate"


def test_shapes_must_be_equal_even_where_they_broadcast() -> None:
    assert distance(np.ones((2, 1)), np.ones((2, 3))) == np.inf


def test_a_tensor_of_zeros_equals_only_itself() -> None:
    zeros = {"w": np.zeros(3)}
    require(relative("stage", zeros, zeros, TOLERANCE))
    with pytest.raises(Difference):
        require(relative("stage", {"w": np.array([0, 1e-300, 0])}, zeros, TOLERANCE))


def test_names_on_one_side_only_are_a_difference() -> None:
    with pytest.raises(Difference, match=r"stage +b "):
        relative("stage", {"a": 1.0, "b": 1.0}, {"a": 1.0}, TOLERANCE)
    with pytest.raises(Difference, match=r"stage +b "):
        relative("stage", {"a": 1.0}, {"a": 1.0, "b": 1.0}, TOLERANCE)


def test_the_first_offender_is_named_first_and_the_worst_of_each_stage_is_said() -> None:
    found = [Comparison("taps", name, value, 1.0) for name, value in [("a", 0.5), ("b", 2.0), ("c", 9.0), ("d", 4.0)]]
    said: list[str] = []
    with pytest.raises(Difference) as caught:
        require([Comparison("loss", "loss", 0.1, 1.0), *found, Comparison("later", "x", 9.0, 1.0)], said.append)
    assert [line.split()[:2] for line in said] == [["loss", "loss"], ["taps", "c"]]
    assert (caught.value.stage, caught.value.first.name) == ("taps", "b")
    assert [line.split()[1] for line in str(caught.value).split("\n")[1:]] == ["b", "c", "d"]


@pytest.mark.parametrize("measured", [np.nan, np.inf, 1.0001])
def test_nothing_but_a_number_within_the_bar_passes(measured: float) -> None:
    require([Comparison("loss", "loss", 1.0, 1.0)])
    with pytest.raises(Difference):
        require([Comparison("loss", "loss", measured, 1.0), Comparison("loss", "other", 0.5, 1.0)])


def test_the_rounding_ratio_is_in_units_of_the_other_sides_error_or_of_the_unit_roundoff() -> None:
    oracle, off = {"w": np.ones(4)}, lambda error: {"w": np.ones(4) + error}
    scales, u = {"w": 2.0}, 1e-3  # u s = 2e-3, and |x| of a constant error e is 2 e

    def ratio(candidate: float, other: float) -> float:
        return rounding_ratio("taps", off(candidate), off(other), oracle, scales, u, TOLERANCE)[0].measured

    assert ratio(6e-3, 3e-3) == pytest.approx(2)
    assert ratio(6e-3, 0) == pytest.approx(6)
    assert ratio(0, 3e-3) == 0


def test_gradient_scales_share_one_root_mean_square() -> None:
    gradients = {"a": np.full(4, 3.0), "b": np.zeros(12)}
    scales = gradient_scales(gradients)
    assert scales["b"] == pytest.approx(scales["a"] * 3**0.5)
    assert norm_of_all(scales) == pytest.approx(norm_of_all(gradients))


def test_all_parameters_are_one_vector() -> None:
    reference, candidate = {"a": np.array([3.0]), "b": np.array([4.0])}, {"a": np.array([3.0]), "b": np.array([4.5])}
    assert relative_to_all("update", candidate, reference, TOLERANCE).measured == pytest.approx(0.1)
    other = {"a": np.array([3.0]), "b": np.array([4.25])}
    assert relative_to_all("update", candidate, reference, TOLERANCE, in_errors_of=other).measured == pytest.approx(2)


def test_generic_weights_are_of_order_one_and_exact_in_float32() -> None:
    shapes = sides("gpt").candidate.candidate.shapes
    weights = generic_weights(shapes, 3)
    for name, value in weights.items():
        np.testing.assert_array_equal(value.astype(np.float32).astype(np.float64), value)
        assert np.any(value != value.flat[0]), f"{name} is constant"
    again = generic_weights(shapes, 3)
    assert all(np.array_equal(again[name], value) for name, value in weights.items())
    assert 0.5 < sides("gpt").reference.forward(GENERIC).left["blocks.0.mlp.up"].std() < 2
    assert sides("gpt").reference.forward(INIT).left["blocks.0.mlp.up"].std() < 0.2


def test_torch_probes_leave_the_model_as_it_was() -> None:
    model = sides("gpt").reference.build(GENERIC)
    probe = Probe()
    with torch_probe(model, probe, {"blocks.0": "blocks.0"}):
        model(torch.zeros(1, 3, dtype=torch.long))
    seen = dict(probe.left)
    model(torch.ones(1, 3, dtype=torch.long))
    assert list(seen) == ["blocks.0"] and probe.left == seen
    assert not any(module._forward_hooks for module in model.modules())


def test_nnx_probes_know_their_own_model_and_put_the_classes_back() -> None:
    model, params = halves("gpt")[0].model("float64"), sides("gpt").candidate.params(GENERIC)
    ours, other = model.module(params), model.module(params)
    call = type(ours.final_norm).__call__
    tokens = jnp.zeros((1, 3), jnp.int32)
    probe = Probe()
    with nnx_probe(ours, probe):
        other(tokens, jnp.dtype("float64"))
        assert not probe.left
        ours(tokens, jnp.dtype("float64"))
    assert probe.left["blocks.0"].shape == (1, 3, 32)
    assert type(ours.final_norm).__call__ is call


def test_taps_see_through_jit() -> None:
    eager = halves("gpt")[0].model("float64").module(sides("gpt").candidate.params(GENERIC))
    probe = Probe()
    with nnx_probe(eager, probe):
        eager(jnp.asarray(sides("gpt").pair.draw(0, 1)[0]["tokens"]), jnp.dtype("float64"))
    compiled = sides("gpt").candidate.forward(GENERIC).left
    require(relative("taps", {n: compiled[n] for n in probe.left}, jax.tree.map(np.asarray, probe.left), SEMANTIC))


def test_only_elements_that_rounding_decides_are_noise() -> None:
    theirs = {"w": np.array([1.0, 1e-8, 1e-8, 1e-14, 0.0])}
    ours = {"w": theirs["w"] + np.array([1e-16, 1e-16, 1e-20, 1e-16, 0.0])}
    np.testing.assert_array_equal(noise_masks(ours, theirs)["w"], [False, True, False, False, False])
    np.testing.assert_array_equal(null_masks(ours, theirs)["w"], [False, False, False, True, False])
    # A real difference in an element of size is none: it stays in the comparison.
    assert "w" not in noise_masks({"w": theirs["w"][:1] * 1.001}, {"w": theirs["w"][:1]})
    masks = null_masks(ours, theirs), noise_masks(ours, theirs)
    moved = {"w": np.array([1.0, 2e-8, 1.0, 0.0, 0.0])}
    require(compare_updates("time", moved, {"w": np.array([1.0, 1e-8, 1.0, 1e-9, 0.0])}, *masks))
    with pytest.raises(Difference):
        require(compare_updates("time", moved, {"w": np.array([1.0, 1e-8, 1.001, 0.0, 0.0])}, *masks))
    with pytest.raises(Difference, match="noise"):
        require(compare_updates("time", moved, {"w": np.array([1.0, 1.0, 1.0, 0.0, 0.0])}, *masks))


def test_noise_that_is_zero_by_chance_is_null_as_well() -> None:
    both, name = copy.copy(sides("gpt")), "blocks.0.attention.key.bias"
    true = both.gradients

    def gradients(at: Setting) -> Any:
        found = [(loss, {**grads, name: grads[name].copy()}) for loss, grads in true(at)]
        for _, grads in found:
            grads[name][3] *= at.seed != GENERIC.seed  # zero on both sides with these weights alone
        return found

    both.gradients = gradients  # type: ignore[method-assign]
    assert both.null(GENERIC)[name].all()
    assert "token_embed.embedding" not in both.null(GENERIC)
