"""Parameters that only one side uses: on the other the gradient is exactly zero."""

from __future__ import annotations

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import norm, norm_of_all
from jaxdec.parity.hints.evidence import last, merged
from jaxdec.parity.report.report import Hint
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides


def unused_biases(sides: Sides, at: Setting) -> list[Hint]:
    """Hints on biases that are zero, so that no output shows who adds them."""
    (_, ours), (_, theirs) = sides.gradients(at)
    least, hints = tolerances.SEMANTIC.limit * norm_of_all(theirs), []
    for name, true in theirs.items():
        used = norm(ours[name]) > least, norm(true) > least
        module = name.rpartition(".")[0] + "."
        beside = [key for key in theirs if key.startswith(module) and key != name]
        if not all(norm(side[key]) > least for side in (ours, theirs) for key in beside):
            continue  # the whole module is without a gradient
        if last(name) in ("bias", "beta", "b") and used[0] != used[1] and not min(norm(ours[name]), norm(true)):
            lacks = "reference" if used[0] else "candidate"
            text = f"the {lacks} adds no such bias: its gradient is exactly zero (0)"
            hints.append(Hint("bias", name, 0.0, text))
    return merged(hints)
