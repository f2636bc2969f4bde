"""Where a candidate rounds to less than float64 although the run is in float64: precision differs then, not meaning.

The reference cannot do so: its float64 run casts to nothing less (`float64`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from jaxdec.parity.compare.stages import Sides
from jaxdec.parity.pair import Setting
from jaxdec.parity.report.report import Finding
from jaxdec.parity.sides.calling import place_of

LARGEST = {"float32": 1e-6, "bfloat16": 3e-2, "float16": 3e-3}  # what rounding to it does to a module's result
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


def casts_of(jaxpr: Any) -> Iterator[tuple[str, str]]:
    """(dtype, ` (file, line n)`) of each cast from float64 to less, at the line of the user's own file."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "convert_element_type":
            before, after = (str(side[0].aval.dtype) for side in (eqn.invars, eqn.outvars))
            if before == "float64" and after in LARGEST:
                frames = eqn.source_info.traceback
                yield after, place_of(frames.as_python_traceback() if frames is not None else None)
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from casts_of(inner)
