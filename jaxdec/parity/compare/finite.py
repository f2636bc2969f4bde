"""NaN and infinity: where the first one stands. No comparison with them proves anything, not even with themselves.

One infinity is allowed: the -inf of scores that a mask hides. Where both sides have it in the same places, the rest is
compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class NotFinite(NamedTuple):
    """`name` is the first tensor with such a value; `value` is "NaN" or "infinity"; `sides` are the sides that have it:
    "candidate", "reference" or both."""

    name: str
    value: str
    sides: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{self.value} first in {self.name} of "
        if len(self.sides) == 1:
            return f"{text}the {self.sides[0]}"
        return f"{text}both sides, which proves nothing even where they agree"


def masked(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """True where a mask hides a score on both sides. A tensor of nothing but -inf is no masked one."""
    hidden = (a == -np.inf) & (b == -np.inf)
    return np.zeros_like(hidden) if hidden.all() else hidden


def first_not_finite(candidate: Mapping[str, Any], reference: Mapping[str, Any]) -> NotFinite | None:
    """The first of two sides' tensors by name: in the order of the reference's, then of those that the candidate alone
    has."""
    for name in [*reference, *(name for name in candidate if name not in reference)]:
        if found := _not_finite(name, candidate.get(name), reference.get(name)):
            return found
    return None


def _not_finite(name: str, ours: Any, theirs: Any) -> NotFinite | None:
    sides = {"candidate": ours, "reference": theirs}
    found = {side: np.asarray(value, np.float64) for side, value in sides.items() if value is not None}
    wrong = {side: ~np.isfinite(value) for side, value in found.items()}
    if len(found) == 2 and found["candidate"].shape == found["reference"].shape:
        hidden = masked(found["candidate"], found["reference"])
        wrong = {side: where & ~hidden for side, where in wrong.items()}
    guilty = tuple(side for side, where in wrong.items() if where.any())
    if not guilty:
        return None
    nan = any(np.isnan(found[side]).any() for side in guilty)
    return NotFinite(name, "NaN" if nan else "infinity", guilty)
