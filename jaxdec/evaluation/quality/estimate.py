"""A figure with its standard error over samples, by the jackknife (Efron and Stein 1981)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """`error`: the standard error; None where there is one sample, which tells nothing of the others."""

    value: float
    error: float | None


def jackknife(whole: float, without: Sequence[float] | np.ndarray) -> Estimate:
    """`whole`: the figure of all n samples; `without[i]`: that of all but sample i.

    The standard error is sqrt((n - 1) / n * sum_i (without_i - mean)^2). It needs no formula for the figure itself, and
    of a mean it is the usual one.
    """
    found = np.asarray(without, np.float64)
    if len(found) < 2 or not np.isfinite(found).all():
        return Estimate(float(whole), None)
    spread = float(np.sum((found - found.mean()) ** 2))
    return Estimate(float(whole), math.sqrt((len(found) - 1) / len(found) * spread))


def ratio(parts: Sequence[float], wholes: Sequence[float]) -> Estimate | None:
    """sum(parts) / sum(wholes) over samples; None where the wholes are zero. Samples whose whole is zero say nothing
    and are left out."""
    pairs = np.array([(part, whole) for part, whole in zip(parts, wholes, strict=True) if whole], np.float64)
    if not len(pairs):
        return None
    total = pairs.sum(axis=0)
    left = total - pairs
    return jackknife(total[0] / total[1], left[:, 0] / left[:, 1] if len(pairs) > 1 else [])


def mean(values: Sequence[float]) -> Estimate | None:
    """The mean over samples; None without any."""
    return ratio(values, [1.0] * len(values))
