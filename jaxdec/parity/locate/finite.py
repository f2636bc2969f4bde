"""Where the first NaN or infinity is: it alone is reported, not all the values that it spreads to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.compare.finite import first_not_finite
from jaxdec.parity.report.report import Finding
from jaxdec.parity.setting import Setting

if TYPE_CHECKING:
    from jaxdec.parity.sides.stages import Sides

Named = Mapping[str, Any]
Direction = Literal["forward", "backward", "time"]
BothSides = tuple[Direction, Named, Named]  # the candidate's and the reference's


def not_finite(sides: Sides, comparisons: Sequence[Comparison], at: Setting) -> list[Finding]:
    """One finding, or none where all that was measured is finite."""
    if all(math.isfinite(each.measured) for each in comparisons):
        return []
    stages = {each.stage for each in comparisons}

    def recordings() -> Iterable[BothSides]:
        both = (sides.candidate, sides.reference)
        if stages & {"taps", "logits", "routing"}:
            ours, theirs = (side.forward(at) for side in both)
            yield "forward", ours.left | ours.logits, theirs.left | theirs.logits
        if stages & {"loss", "gradients"}:
            (loss, gradients), (true, exact) = (side.loss_and_gradients(at) for side in both)
            yield "forward", {"the loss": loss}, {"the loss": true}
            yield "backward", backwards(gradients), backwards(exact)
        if "trajectory" in stages:
            ours, theirs = (by_step(side.trajectory(at, sides.marks).losses) for side in both)
            yield "time", ours, theirs

    return first_finding(recordings())


def not_finite_in(ours: Mapping[str, Named], theirs: Mapping[str, Named]) -> list[Finding]:
    """The same for two dumps: stage -> tensors by name."""
    both = zip(in_order(ours), in_order(theirs), strict=True)
    return first_finding((direction, a, b) for (direction, a), (_, b) in both)


def in_order(stages: Mapping[str, Named]) -> list[tuple[Direction, Named]]:
    """What a dump holds, in the order in which it is computed."""
    run = next(iter(stages.get("losses", {}).values()), ())
    return [
        ("forward", {**stages.get("taps", {}), **stages.get("logits", {})}),
        ("forward", {f"the {name}": value for name, value in stages.get("loss", {}).items()}),
        ("backward", backwards(stages.get("gradients", {}))),
        ("time", by_step(run)),
    ]


def backwards(gradients: Named) -> dict[str, Any]:
    """From the last parameter to the first, as the derivative is computed."""
    return {f"the gradient of {name}": gradients[name] for name in reversed(list(gradients))}


def by_step(losses: Iterable[float]) -> dict[str, float]:
    return {f"the loss of step {step}": loss for step, loss in enumerate(losses)}


def first_finding(recordings: Iterable[BothSides]) -> list[Finding]:
    for direction, ours, theirs in recordings:
        if found := first_not_finite(ours, theirs):
            measured, limit = math.nan if found.value == "NaN" else math.inf, tolerances.SEMANTIC.limit
            return [Finding("not finite", direction, found.name, measured, limit, str(found))]
    return []
