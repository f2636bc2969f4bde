"""Which learning rates each side takes: one of the other's steps ahead or behind, or another warm-up or end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.hints.evidence import Two
from jaxdec.parity.hints.identify import compared, identify, residual, size
from jaxdec.parity.hints.updates import Fit
from jaxdec.parity.report.report import Hint

RISES = ("to the peak in {} + 1 steps", "from zero, {} steps", "to the peak in {} steps", "none")
FALLS = ("to the floor", "to zero, but not below the floor", "along a line")
SEAMS = {"rise": "schedule end", "fall": "schedule end", "end": "schedule end"}


def schedules(theirs: Fit, ours: Fit) -> list[Hint]:
    """A hint where both sides' rates are those of a known schedule, or of one another."""
    rates = Two(theirs.rates, ours.rates)
    if residual(*rates) <= tolerances.SEMANTIC.limit:
        return []
    for steps in (1, -1, 2, -2):
        a, b = (rates[place] for place in ((0, 1) if steps > 0 else (1, 0)))
        error = residual(a[: -abs(steps)], b[abs(steps) :])
        if error <= tolerances.SEMANTIC.limit:
            where = f"{abs(steps)} step{'s' if abs(steps) > 1 else ''} {'ahead' if steps > 0 else 'behind'}"
            text = f"matches at {size(error)}: the reference's rates are the candidate's, {where}"
            return [Hint("schedule offset", "schedule", error, text)]
    found = identify(choices(rates), lambda **options: shape(len(rates.reference), **options), rates)
    return compared("schedule", "the schedule", found, SEAMS, phrase)


def choices(rates: Two) -> Iterator[dict[str, Any]]:
    """Peak, floor and warm-up as either side has them, with every end."""
    for side in rates:
        peak, floor, warmup = float(side.max()), float(side[-1]), int(side.argmax())
        for rise in RISES:
            for fall in FALLS:
                for end in range(warmup + 1, len(side) + 1):
                    yield {"rise": rise, "warmup": warmup, "fall": fall, "end": end, "peak": peak, "floor": floor}


def shape(steps: int, rise: str, warmup: int, fall: str, end: int, peak: float, floor: float) -> np.ndarray:
    """Rates [steps]: up to `peak` at step `warmup`, then down until step `end` and level from there (Loshchilov and
    Hutter 2017, equation 5)."""
    step = np.arange(steps)
    rising = {RISES[0]: peak * (step + 1) / (warmup + 1), RISES[1]: peak * step / max(warmup, 1)}
    rising[RISES[2]] = peak * (step + 1) / max(warmup, 1)
    progress = np.clip((step - warmup) / max(end - warmup, 1), 0, 1)
    cosine = 0.5 * (1 + np.cos(np.pi * progress))
    falling = {
        FALLS[0]: floor + cosine * (peak - floor),
        FALLS[1]: np.maximum(floor, peak * cosine),
        FALLS[2]: floor + (1 - progress) * (peak - floor),
    }[fall]
    return np.where(step < warmup, rising.get(rise, peak), falling)


def phrase(option: str, value: Any) -> str:
    if option == "rise":
        return f"warm-up {value.format('W')}"
    return f"cosine {value}" if option == "fall" else f"down until step {value}"
