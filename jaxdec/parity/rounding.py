"""The criterion in float32 and bfloat16: not equality, but errors no larger than honest ones.

The oracle is the reference in float64. The candidate's error against it is measured in the reference's own error at the
same precision.
"""

from __future__ import annotations

import numpy as np

from jaxdec.parity import bars
from jaxdec.parity.comparison import Comparison, gradient_scales, norm, relative, relative_to_all, rounding_ratio
from jaxdec.parity.null import without_null
from jaxdec.parity.pair import Arrays, Setting
from jaxdec.parity.stages import Sides, aligned, differing_choices


def taps(sides: Sides, at: Setting) -> list[Comparison]:
    oracle, theirs = (sides.reference.forward(precision) for precision in (at.at("float64"), at))
    ours = sides.candidate.forward(at)
    names = [name for name in oracle.left if name in ours.left and name in theirs.left]
    sets = [{name: side.left[name] for name in names} | side.logits for side in (ours, theirs, oracle)]
    sets = [{name: aligned(value, sets[2][name]) for name, value in side.items()} for side in sets]
    return compare("taps", *sets, {name: norm(value) for name, value in sets[2].items()}, at)


def gradients(sides: Sides, at: Setting) -> list[Comparison]:
    masks, exact = sides.null(at), at.at("float64")
    runs = (sides.candidate.loss_and_gradients(at), *(sides.reference.loss_and_gradients(to) for to in (at, exact)))
    ours, theirs, true = (without_null(grads, masks) for _, grads in runs)
    return compare("gradients", ours, theirs, true, gradient_scales(true), at)


def compare(
    stage: str, ours: Arrays, theirs: Arrays, oracle: Arrays, scales: dict[str, float], at: Setting
) -> list[Comparison]:
    roundoff, bar = bars.UNIT_ROUNDOFF[at.precision], bars.ratio(at.precision)
    return rounding_ratio(stage, ours, theirs, oracle, scales, roundoff, bar)


def routing(sides: Sides, at: Setting) -> list[Comparison]:
    """Tokens sent elsewhere than by the oracle although its margin is wider than the error of the scores."""
    if not sides.pair.routing:
        return []
    ours, oracle, found = sides.candidate.forward(at).left, sides.reference.forward(at.at("float64")).left, []
    for name, chosen in sides.pair.routing.items():
        wrong, ties = differing_choices(ours[name], oracle[name], chosen, exact=False)
        found.append(Comparison("routing", name, float(wrong), 0.0, note=f"{ties} ties" if ties else ""))
    return found


def trajectory(sides: Sides, at: Setting) -> list[Comparison]:
    """A training run against the float64 one: the loss of every step, and the whole update from step 10 on.

    Where weights are large beside their updates, the rounding of the sums alone is over the bars, in either framework
    (generic weights; scales of one in a tiny model with many norms; tokens that change their expert): there the
    candidate's error is measured in the reference's.
    """
    masks, exact = sides.null(at), at.at("float64")
    ours = sides.candidate.trajectory(at, sides.marks)
    theirs, true = (sides.reference.trajectory(to, sides.marks) for to in (at, exact))
    loss_bar, update_bar = bars.drift(at.precision, routed=bool(sides.pair.routing))
    steps = {f"loss of step {step}": loss for step, loss in enumerate(true.losses)}
    found = relative("trajectory", dict(zip(steps, ours.losses, strict=True)), steps, loss_bar)
    honest = relative("trajectory", dict(zip(steps, theirs.losses, strict=True)), steps, loss_bar)
    if at.regime == "generic" or not all(each.equal for each in honest):
        losses = ({"losses": np.array(side.losses)} for side in (ours, theirs, true))
        found = compare("trajectory", *losses, {"losses": norm(true.losses)}, at)
    for mark in (mark for mark in true.updates if mark >= 10):
        moved = [without_null(side.updates[mark], masks) for side in (ours, theirs, true)]
        stage = f"update {mark}"
        if at.regime == "init" and relative_to_all(stage, moved[1], moved[2], update_bar).equal:
            found.append(relative_to_all(stage, moved[0], moved[2], update_bar))
        else:
            found.append(relative_to_all(stage, moved[0], moved[2], bars.ratio(at.precision), in_errors_of=moved[1]))
    return found


ROUNDING = {"taps": taps, "routing": routing, "gradients": gradients, "trajectory": trajectory}
