"""In float32 and bfloat16 the JAX side is no less exact than PyTorch, measured against the float64 oracle; and a twin
that loses precision on purpose, put in JAX's place, is caught."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from unittest.mock import patch

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from jaxdec.config import FloatType
from jaxdec.parity import bars
from jaxdec.parity.comparison import Difference
from parity_tests import checks, jax_side, torch_side
from parity_tests.cases import CASES, GENERIC, INIT, Case, case_of, make_case
from parity_tests.mutants import Patch
from tests.variants import RUNGS
from torchref.layers import attention, linear, norm
from torchref.models import decoder

RATIOS: dict[FloatType, bars.Bar] = {"float32": bars.FLOAT32_RATIO, "bfloat16": bars.BFLOAT16_RATIO}
DRIFTS = {
    "float32": (bars.FLOAT32_LOSS, bars.FLOAT32_UPDATE),
    "bfloat16": (bars.BFLOAT16_LOSS, bars.BFLOAT16_UPDATE),
}
# The right twin's results, computed once and before any mutant
torch_once = SimpleNamespace(
    **{name: functools.cache(getattr(torch_side, name)) for name in ("forward", "loss_and_gradients", "trajectory")}
)


# Both regimes of the dense models; of the others the one that shows more, since their runs below start from the other
ROUNDED = [case for case in CASES if case.name not in RUNGS or case.regime == "generic"]


@pytest.mark.parametrize("case", ROUNDED, ids=str)
@pytest.mark.parametrize("compute", RATIOS)
def test_activations_and_gradients(compute: FloatType, case: Case) -> None:
    checks.rounding(case.at(compute), jax_side, torch_once, torch_once, RATIOS[compute])


@pytest.mark.parametrize("case", [INIT, GENERIC, *(case_of(name, "init") for name in RUNGS)], ids=str)
@pytest.mark.parametrize("compute", DRIFTS)
def test_training(compute: FloatType, case: Case) -> None:
    loss, update = DRIFTS[compute]
    if case.routed and compute == "bfloat16":
        # Rounding sends a token near a tie of two experts to the other one, in either framework. With four times the
        # tokens the loss of a step does not hang on one of them.
        case, update = make_case(case.name, case.config.model, "init", batch_size=16), bars.BFLOAT16_UPDATE_ROUTED
    checks.drift(case.at(compute), jax_side, torch_once, torch_once, loss, update)


def require_wide_logits(side: checks.Side) -> None:
    """The head's product ends in float32: most of its values are none that bfloat16 has."""
    logits = side.forward(GENERIC.at("bfloat16"))["logits"]
    rounded = logits.astype(ml_dtypes.bfloat16).astype(np.float64)
    assert np.mean(logits == rounded) < 0.1


@pytest.mark.parametrize("side", [jax_side, torch_side], ids=lambda side: side.__name__.rpartition(".")[2])
def test_logits_are_not_rounded_to_the_compute_dtype(side: checks.Side) -> None:
    require_wide_logits(side)


def test_rounded_logits_are_caught() -> None:
    rounded = SimpleNamespace(linear=lambda x, weight: F.linear(x, weight).bfloat16().float())
    with patch.object(decoder, "F", rounded), pytest.raises(AssertionError):
        require_wide_logits(torch_side)


def projections_in_bfloat16() -> Patch:
    def forward(self: linear.Linear, x: torch.Tensor) -> torch.Tensor:
        narrow = F.linear(x.bfloat16(), self.weight.bfloat16())
        return narrow.to(x.dtype) + (0 if self.bias is None else self.bias.to(x.dtype))

    return patch.object(linear.Linear, "forward", forward)


def variance_as_difference_of_squares() -> Patch:
    """E[x^2] - E[x]^2, seen from far away from zero, as in a trained model's residual stream."""

    def forward(self: norm.LayerNorm, x: torch.Tensor) -> torch.Tensor:
        far = x + 100
        mean = far.mean(-1, keepdim=True)
        variance = (far * far).mean(-1, keepdim=True) - mean * mean
        return (far - mean) * torch.rsqrt(variance + self.epsilon) * self.weight + (
            0 if self.bias is None else self.bias
        )

    return patch.object(norm.LayerNorm, "forward", forward)


def scores_in_bfloat16() -> Patch:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, is_causal: bool) -> torch.Tensor:
        scores = (q.bfloat16() @ k.bfloat16().transpose(-2, -1)).float() * q.shape[-1] ** -0.5
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1).to(v.dtype) @ v

    return patch.object(attention, "F", SimpleNamespace(scaled_dot_product_attention=attend))


@pytest.mark.parametrize(
    "mutant",
    [projections_in_bfloat16, variance_as_difference_of_squares, scores_in_bfloat16],
    ids=lambda mutant: mutant.__name__,
)
def test_lost_precision_is_caught(mutant: Callable[[], Patch]) -> None:
    case = GENERIC.at("float32")
    checks.rounding(case, torch_once, jax_side, torch_once, bars.FLOAT32_RATIO)  # the right twin in JAX's place
    with mutant(), pytest.raises(Difference) as caught:
        checks.rounding(case, torch_side, jax_side, torch_once, bars.FLOAT32_RATIO)
    print(f"{mutant.__name__}: {caught.value.first}")


def parameters_in_bfloat16() -> Patch:
    """No masters: small updates are lost to rounding."""
    original = torch_side.build
    return patch.object(torch_side, "build", lambda case: original(case).bfloat16())


def test_parameters_without_masters_are_caught() -> None:
    case = INIT.at("bfloat16")
    checks.drift(case, torch_once, jax_side, torch_once, *DRIFTS["bfloat16"])
    with parameters_in_bfloat16(), pytest.raises(Difference) as caught:
        checks.drift(case, torch_side, jax_side, torch_once, *DRIFTS["bfloat16"])
    print(f"parameters_in_bfloat16: {caught.value.first}")
