"""In float32 and bfloat16 the JAX side is no less exact than PyTorch, measured against the float64 oracle; and a twin
that loses precision on purpose, put in JAX's place, is caught."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from jaxdec.parity.certificate.mutant import Patch
from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Difference, require
from jaxdec.parity.locate.replay import module_ratios, rounding_faults
from jaxdec.parity.setting import PrecisionName, Setting
from jaxdec.parity.sides.stages import AFTER, BEFORE, Sides
from parity_tests.twins import DENSE, DROPS, GENERIC, INIT, RUNGS, TRANSLATION, sides
from torchref.layers import linear, norm
from torchref.layers.attention import kernel
from torchref.models import decoder

LOW: tuple[PrecisionName, ...] = ("float32", "bfloat16")
# Activations and gradients of every kind of model; training of those whose parts round in a way of their own.
ROUNDED = [(name, at) for name in DENSE for at in (INIT, GENERIC)]
ROUNDED += [(name, GENERIC) for name in (*RUNGS, *TRANSLATION)] + [("moe-gpt", INIT)]
CASES = sorted([(name, at, precision) for name, at in ROUNDED for precision in LOW], key=lambda case: case[0])
TRAINED: list[tuple[str, Setting, PrecisionName]] = [
    ("gpt", at, precision) for at in (INIT, GENERIC) for precision in LOW
]
TRAINED += [(name, INIT, "float32") for name in ("modern, dense", "sinks", "translation")]
TRAINED += [(name, INIT, "bfloat16") for name in ("moe-gpt", "norms on both sides")]
# Here: each layer that rounds in a way of its own at least once (norms, rotary angles, routers, sinks, soft caps, cross
# attention). What is left to `make test-long` combines the same layers otherwise.
WHOLE = ("gpt", "moe-gpt", "modern", "sinks", "norms on both sides", "translation")
HERE = {("gpt", INIT), ("moe-gpt", INIT)} | {(name, GENERIC) for name in (*WHOLE, "yarn", "sinusoidal", "softcap")}
ALONE = [(name, at, precision) for name in WHOLE for at in (INIT, GENERIC) for precision in LOW]


def few(cases: list[tuple[str, Setting, PrecisionName]], here: Container[tuple[str, Setting]]) -> list[Any]:
    """Test parameters: those of a model and weights that are not `here` are for `make test-long`."""
    return [
        pytest.param(
            *case, id=f"{case[0]}-{case[1].weight_init}-{case[2]}", marks=[pytest.mark.long] * (case[:2] not in here)
        )
        for case in cases
    ]


@pytest.mark.parametrize(("name", "at", "precision"), few(CASES, HERE))
def test_activations_and_gradients(name: str, at: Setting, precision: PrecisionName) -> None:
    """Gradients in bfloat16 for the dense models alone: what rounds in the others' shows forwards."""
    backwards = precision == "float32" or name in DENSE
    for stage in ("taps", "logits", "routing", *(["gradients"] if backwards else [])):
        require(BEFORE[stage](sides(name), at.at(precision)))


@pytest.mark.parametrize(("name", "at", "precision"), few(TRAINED, []))
def test_training(name: str, at: Setting, precision: PrecisionName) -> None:
    require(AFTER["trajectory"](sides(name), at.at(precision)))


@pytest.mark.parametrize(("name", "at", "precision"), few(ALONE, [("gpt", GENERIC), ("norms on both sides", GENERIC)]))
def test_each_module_alone_rounds_as_the_twins_does(name: str, at: Setting, precision: PrecisionName) -> None:
    ratios = module_ratios(sides(name), at.at(precision))
    worst = max(ratios, key=ratios.__getitem__)
    print(f"{worst} {ratios[worst]:.2f}")
    assert len(ratios) > 10 and ratios[worst] <= tolerances.module_ratio(precision).limit


def wide_share(logits: np.ndarray) -> float:
    """How many logits bfloat16 does not have."""
    return float(np.mean(logits != logits.astype(ml_dtypes.bfloat16).astype(np.float64)))


def test_logits_are_not_rounded_to_the_compute_dtype() -> None:
    """The head's product ends in float32, on both sides; a twin that rounds is seen."""
    at, both = GENERIC.at("bfloat16"), sides("gpt")
    assert wide_share(both.candidate.forward(at).logits["logits"]) > 0.9
    assert wide_share(both.reference.forward(at).logits["logits"]) > 0.9
    rounded = SimpleNamespace(linear=lambda x, weight: F.linear(x, weight).bfloat16().float())
    with patch.object(decoder, "F", rounded):
        assert wide_share(both.reference.forward(at).logits["logits"]) == 0


class TwinAsCandidate:
    """The twin in JAX's place, changed by a patch."""

    def __init__(self, both: Sides, change: Callable[[], Patch]) -> None:
        self.both, self.change = both, change

    def __getattr__(self, name: str) -> Callable[..., object]:
        def run(*inputs: object) -> object:
            with self.change():
                return getattr(self.both.reference, name)(*inputs)

        return run


def swapped(change: Callable[[], Patch]) -> Sides:
    """Sides whose candidate is the changed twin; null directions stay what they are."""
    both = copy.copy(sides("gpt"))
    masks = {at: both.null(at) for at in (INIT, GENERIC)}
    both.candidate = TwinAsCandidate(both, change)  # type: ignore[assignment]
    both.null = lambda at: masks[at.at("float64")]  # type: ignore[method-assign]
    return both


def unchanged() -> Patch:
    return patch.object(linear, "__name__", linear.__name__)


def projections_in_bfloat16() -> Patch:
    def forward(self: linear.Linear, x: torch.Tensor) -> torch.Tensor:
        narrow = F.linear(x.bfloat16(), self.weight.bfloat16())
        return narrow.to(x.dtype) + (0 if self.bias is None else self.bias.to(x.dtype))

    return patch.object(linear.Linear, "forward", forward)


def variance_as_difference_of_squares() -> Patch:
    """E[x^2] - E[x]^2, seen from far away from zero, as in a trained model's residual stream."""

    def forward(self: norm.LayerNormModule, x: torch.Tensor) -> torch.Tensor:
        far = x + 100
        mean = far.mean(-1, keepdim=True)
        variance = (far * far).mean(-1, keepdim=True) - mean * mean
        return (far - mean) * torch.rsqrt(variance + self.epsilon) * self.weight + (
            0 if self.bias is None else self.bias
        )

    return patch.object(norm.LayerNormModule, "forward", forward)


def scores_in_bfloat16() -> Patch:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, is_causal: bool) -> torch.Tensor:
        scores = (q.bfloat16() @ k.bfloat16().transpose(-2, -1)).float() * q.shape[-1] ** -0.5
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1).to(v.dtype) @ v

    return patch.object(kernel, "F", SimpleNamespace(scaled_dot_product_attention=attend))


@pytest.mark.parametrize(
    "mutant",
    [projections_in_bfloat16, variance_as_difference_of_squares, scores_in_bfloat16],
    ids=lambda mutant: mutant.__name__,
)
def test_lost_precision_is_caught(mutant: Callable[[], Patch]) -> None:
    at = GENERIC.at("float32")
    require(BEFORE["taps"](swapped(unchanged), at))  # the right twin in JAX's place
    with pytest.raises(Difference) as caught:
        require(BEFORE["taps"](swapped(mutant), at))
    print(f"{mutant.__name__}: {caught.value.first}")


def norm_in_the_compute_dtype() -> Patch:
    def forward(self: norm.LayerNormModule, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        y = centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + self.epsilon) * self.weight.to(x.dtype)
        return y if self.bias is None else y + self.bias.to(x.dtype)

    return patch.object(norm.LayerNormModule, "forward", forward)


def test_a_norm_in_bfloat16_is_named() -> None:
    """End to end it stays within the noise of correct models: only the module by itself shows it."""
    at = GENERIC.at("bfloat16")
    assert not rounding_faults(swapped(unchanged), at)
    faults = rounding_faults(swapped(norm_in_the_compute_dtype), at)
    norms = {f"blocks.{layer}.{part}_norm" for layer in range(2) for part in ("attention", "mlp")}
    assert {fault.where for fault in faults} == norms | {"final_norm"}
    assert {fault.kind for fault in faults} == {"precision"}


def parameters_in_bfloat16() -> Patch:
    """No masters: small updates are lost to rounding."""
    reference = sides("gpt").reference
    original = reference.build
    return patch.object(reference, "build", lambda at: original(at).bfloat16())


def test_parameters_without_masters_are_caught() -> None:
    at = INIT.at("bfloat16")
    require(AFTER["trajectory"](swapped(unchanged), at))
    both = swapped(parameters_in_bfloat16)
    honest = [both.reference.trajectory(to, both.marks) for to in (at, at.at("float64"))]
    runs = iter(honest)
    lost = both.candidate.trajectory(at, both.marks)
    both.candidate = SimpleNamespace(trajectory=lambda at, marks: lost)  # type: ignore[assignment]
    with patch.object(both.reference, "trajectory", lambda at, marks: next(runs)), pytest.raises(Difference) as caught:
        require(AFTER["trajectory"](both, at))
    print(f"parameters_in_bfloat16: {caught.value.first}")


def test_a_pair_that_drops_is_no_less_exact_in_training() -> None:
    require(BEFORE["gradients"](sides(DROPS), GENERIC.at("bfloat16")))
