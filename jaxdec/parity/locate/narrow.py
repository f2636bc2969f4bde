"""Where a candidate rounds to less than float64 although the run is in float64: precision differs then, not meaning.

The reference cannot do so: its float64 run casts to nothing less (`float64`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jaxdec.parity.adapters.casts import LARGEST
from jaxdec.parity.report.report import Finding
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides

SHOWN = 3


def as_precision(sides: Sides, findings: Sequence[Finding], at: Setting) -> list[Finding]:
    """Findings in modules that are no larger than rounding are called so, if the candidate does round."""
    small = [each for each in findings if each.direction in ("forward", "backward") and each.kind == "semantic"]
    if not any(each.measured <= max(LARGEST.values()) for each in small):
        return list(findings)
    casts = sides.candidate.narrow_casts(at)
    largest = max((LARGEST[dtype] for dtype, _ in casts), default=0.0)
    if not casts:
        return list(findings)
    places = [f"to {dtype}{place}" for dtype, place in casts]
    more = f" and in {len(places) - SHOWN} more places" if len(places) > SHOWN else ""
    text = f"; the candidate rounds {', '.join(places[:SHOWN])}{more} in a float64 run: make it keep its input's dtype"
    return [
        replace(each, kind="precision", text=each.text + text) if each in small and each.measured <= largest else each
        for each in findings
    ]
