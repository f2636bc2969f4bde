"""How far two sets of named tensors are apart, and whether a tolerance allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdec.parity.compare.finite import masked
from jaxdec.parity.compare.tolerances import Tolerance

Tensors = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """One tensor at one stage: what was measured, in units of the tolerance's quantity, and how much is allowed.

    `weight_init` says which weights ("init", "generic" or, where only one kind is compared, ""), `precision` what was
    computed in, and `note` what a reader should know of this one.
    """

    stage: str
    name: str
    measured: float
    limit: float
    weight_init: str = ""
    precision: str = "float64"
    note: str = ""

    @property
    def equal(self) -> bool:
        return self.measured <= self.limit  # False for NaN

    def __str__(self) -> str:
        verdict = "equal" if self.equal else "DIFFERS"
        where = " ".join(filter(None, [self.precision if self.precision != "float64" else "", self.weight_init]))
        about = "".join([f"  [{where}]" if where else "", f"  ({self.note})" if self.note else ""])
        return f"{self.stage:<13} {self.name:<34} {self.measured:9.2e}  tolerance {self.limit:7.1e}  {verdict}{about}"


class Difference(AssertionError):
    """Tensors of one stage are over their tolerance. `first` is the first of them in the order given, which for taps is
    the order of execution: what comes after it may only have inherited the difference."""

    def __init__(self, comparisons: list[Comparison]) -> None:
        self.comparisons = comparisons
        self.first = comparisons[0]
        self.stage = self.first.stage
        worst = sorted(comparisons[1:], key=_excess, reverse=True)
        super().__init__("\n" + "\n".join(map(str, [self.first, *worst[:7]])))


def norm(x: Any) -> float:
    """Frobenius norm, in float64, scaled so that no square underflows: only zeros have norm zero. The -inf of masked
    scores count for nothing; anything else that is not finite gives NaN or infinity."""
    x = np.asarray(x, np.float64)
    x = np.where(masked(x, x), 0, x)
    largest = np.abs(x).max(initial=0.0)
    if largest == 0 or not np.isfinite(largest):
        return float(largest)
    return float(largest * np.linalg.norm(x / largest))


def distance(a: Any, b: Any) -> float:
    """|a - b|; infinite when the shapes differ, or where either has a NaN or an infinity: two NaN in one place are no
    proof. Scores that a mask hides on both sides (-inf) count for nothing."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        return np.inf
    seen = ~masked(a, b)
    if not (np.isfinite(a[seen]).all() and np.isfinite(b[seen]).all()):
        return np.inf
    return norm(a[seen] - b[seen])


def aligned(value: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The value in the other's shape where a side that flattens batch and time gives the same numbers in its own."""
    flattened = value.size == other.size and value.shape[-1:] == other.shape[-1:]
    return value.reshape(other.shape) if flattened else value


def relative(stage: str, candidate: Tensors, reference: Tensors, tolerance: Tolerance) -> list[Comparison]:
    """|candidate - reference| / |reference| for each name; the names must be the same on both sides."""
    _same_names(stage, candidate, reference)
    return [
        Comparison(stage, name, quotient(distance(candidate[name], value), norm(value)), tolerance.limit)
        for name, value in reference.items()
    ]


def relative_to_all(
    stage: str,
    candidate: Tensors,
    reference: Tensors,
    tolerance: Tolerance,
    in_errors_of: Tensors | None = None,
    name: str = "all parameters",
) -> Comparison:
    """All tensors as one vector: for updates in low precision, where single small tensors are mostly noise.

    The unit is |reference|, or the distance of `in_errors_of` from the reference.
    """
    _same_names(stage, candidate, reference)
    unit = norm_of_all(reference) if in_errors_of is None else distance_of_all(in_errors_of, reference)
    return Comparison(stage, name, quotient(distance_of_all(candidate, reference), unit), tolerance.limit)


def rounding_ratio(
    stage: str,
    candidate: Tensors,
    other: Tensors,
    oracle: Tensors,
    scales: Mapping[str, float],
    roundoff: float,
    tolerance: Tolerance,
) -> list[Comparison]:
    """|candidate - oracle| / max(|other - oracle|, u s): is the candidate much less accurate than another honest run?

    `scales` s is the size below which an error of u s is unavoidable: |oracle| for activations, and for gradients the
    root mean square over all of them times sqrt(n), since a small gradient is a difference of large terms.
    """
    _same_names(stage, candidate, oracle)
    _same_names(stage, other, oracle)
    return [
        Comparison(
            stage,
            name,
            quotient(distance(candidate[name], value), max(distance(other[name], value), roundoff * scales[name])),
            tolerance.limit,
        )
        for name, value in oracle.items()
    ]


def norm_of_all(tensors: Tensors) -> float:
    return norm([norm(value) for value in tensors.values()])


def distance_of_all(a: Tensors, b: Tensors) -> float:
    return norm([distance(a[name], value) for name, value in b.items()])


def gradient_scales(gradients: Tensors) -> dict[str, float]:
    """Root mean square of all gradients, times sqrt(n) of each: the `scales` of `rounding_ratio`."""
    count = sum(np.size(value) for value in gradients.values())
    rms = norm_of_all(gradients) / count**0.5
    return {name: rms * np.size(value) ** 0.5 for name, value in gradients.items()}


def require(comparisons: Iterable[Comparison], say: Callable[[str], None] = print) -> None:
    """Says the worst comparison of each stage in turn; raises Difference at the first stage with one over its
    tolerance."""
    stages: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        stages.setdefault(comparison.stage, []).append(comparison)
    for found in stages.values():
        say(str(max(found, key=_excess)))
        if wrong := [comparison for comparison in found if not comparison.equal]:
            raise Difference(wrong)


def _excess(comparison: Comparison) -> float:
    return np.inf if np.isnan(comparison.measured) else comparison.measured / max(comparison.limit, 1e-300)


def quotient(difference: float, scale: float) -> float:
    """0 / 0 is 0: two tensors of zeros are equal; anything else against zeros is infinitely far."""
    if scale == 0:
        return 0.0 if difference == 0 else np.inf
    return difference / scale


def _same_names(stage: str, a: Tensors, b: Tensors) -> None:
    if odd := sorted(set(a) ^ set(b)):
        raise Difference([Comparison(stage, name, np.inf, 0.0) for name in odd])
