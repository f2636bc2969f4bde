"""Every tolerance of the parity tests, with the reason for its size.

Differences are Frobenius norms per tensor. Loosening a tolerance needs a reason written here; a tolerance is only worth
what it catches, which `parity_tests/test_mutants.py` measures.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """`limit` is the largest value allowed of the named quantity."""

    limit: float
    reason: str


EXACT = Tolerance(0.0, "what is copied is the same in every bit")
SEMANTIC = Tolerance(
    1e-11,
    "float64, |jax - torch| / |torch|: equal functions agree to about 3e-15; an update is a difference of parameters, "
    "which lifts that to 1e-12 after one step; the smallest seeded bugs show at 1e-8",
)
NULL_GRADIENT = Tolerance(
    1e-13,
    "float64, |gradient| / |all gradients| of a parameter that cannot change the output: rounding noise alone",
)
NULL_UPDATE = Tolerance(
    1e-6,
    "float64, |update| / |all updates| of such a parameter: Adam divides its noise by epsilon (1e-8), which lifts "
    "1e-16 to 1e-8",
)
FLOAT32_RATIO = Tolerance(
    4.0,
    "float32, |jax - oracle| / max(|torch - oracle|, u s): honest ratios reach 2.1 over 1,224 tensors, seeded bugs "
    "start at 17",
)
FLOAT32_LOSS = Tolerance(2e-6, "float32, relative to the float64 loss at each of 100 steps: honest noise is 6e-7")
FLOAT32_UPDATE = Tolerance(
    5e-6,
    "float32, relative to the whole float64 update from step 10 on: honest noise is 4.2e-6 at step 10 and falls from "
    "there; Adam's first steps are signs, so noise in a gradient near zero flips whole elements",
)
BFLOAT16_RATIO = Tolerance(4.0, "bfloat16, as the float32 ratio: the 99th percentile of honest ratios is 3.8")
BFLOAT16_LOSS = Tolerance(
    2e-3, "bfloat16, relative to the float64 loss at each step: u is 4e-3, and the mean over targets averages it"
)
BFLOAT16_UPDATE = Tolerance(3e-2, "bfloat16, relative to the whole float64 update from step 10 on, for a dense model")
BFLOAT16_UPDATE_ROUTED = Tolerance(
    0.15, "the same for a mixture of experts: a token near a tie of two experts goes to the other one"
)
MODULE_FLOAT32 = Tolerance(4.0, "float32, the rounding ratio of one module alone: honest ratios reach 1.6")
MODULE_BFLOAT16 = Tolerance(
    1.7, "bfloat16, the same: honest ratios reach 1.3, norms that are not in float32 start at 2"
)
INIT = Tolerance(
    6.0,
    "mean, standard deviation and kurtosis of initial weights, jax against torch, in standard errors: draws differ, so "
    "only their law can agree; 6 sigma gives one false alarm in 10^9",
)


def ratio(precision: str) -> Tolerance:
    """The tolerance of the rounding ratio."""
    return {"float32": FLOAT32_RATIO, "bfloat16": BFLOAT16_RATIO}[precision]


def module_ratio(precision: str) -> Tolerance:
    """The tolerance of one module's own rounding."""
    return {"float32": MODULE_FLOAT32, "bfloat16": MODULE_BFLOAT16}[precision]


def drift(precision: str, *, routed: bool) -> tuple[Tolerance, Tolerance]:
    """The tolerances of a training run's losses and updates; `routed` is for a mixture of experts."""
    if precision == "float32":
        return FLOAT32_LOSS, FLOAT32_UPDATE
    return BFLOAT16_LOSS, BFLOAT16_UPDATE_ROUTED if routed else BFLOAT16_UPDATE


UNIT_ROUNDOFF = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float64": 2.0**-53}
