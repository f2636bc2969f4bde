"""float32 inside a float64 run: one side's values are float32 to the last bit, the other's are not."""

from __future__ import annotations

import numpy as np

from jaxdec.parity.compare.comparison import distance, norm
from jaxdec.parity.hints.evidence import Evidence, Two
from jaxdec.parity.hints.identify import residual
from jaxdec.parity.report.report import Hint

LARGEST = 1e-5  # what rounding to float32 can do to a sum


def casts(evidence: Evidence, name: str) -> list[Hint]:
    """A hint where a module of one side rounds to float32 what it returns or hands on."""
    values = [evidence.left(name)]
    values += [value for inner in evidence.inside(name) if (value := evidence.handed(inner)) is not None]
    capped = (side for value in values if 0 < residual(*value) < LARGEST and (side := rounded_side(value)))
    if (side := next(capped, None)) is None:
        return []
    text = f"the {side}'s values are float32 to the last bit (0), the other's are not: a cast caps the float64 run"
    return [Hint("float32", name, 0.0, text)]


def rounded_side(value: Two) -> str | None:
    """The one side whose values all survive rounding to float32."""
    exact = [not distance(side.astype(np.float32), side) and norm(side) > 0 for side in value]
    return ("reference" if exact[0] else "candidate") if exact[0] != exact[1] else None
