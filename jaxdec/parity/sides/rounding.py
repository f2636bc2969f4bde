"""The criterion in float32 and bfloat16: not equality, but errors no larger than honest ones.

The oracle is the reference in float64. The candidate's error against it is measured in the reference's own error at the
same precision. Where rounding sends a token to another expert although nothing is wrong (its scores are tied within
their error), what follows is another computation, and no ratio says anything: such comparisons pass as ties, by name.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import (
    Comparison,
    aligned,
    gradient_scales,
    norm,
    relative,
    relative_to_all,
    rounding_ratio,
)
from jaxdec.parity.compare.null import without_null
from jaxdec.parity.setting import Arrays, Setting
from jaxdec.parity.sides.stages import Sides, differing_choices


def taps(sides: Sides, at: Setting) -> list[Comparison]:
    oracle, theirs = (sides.reference.forward(precision) for precision in (at.at("float64"), at))
    ours = sides.candidate.forward(at)
    names = [name for name in oracle.left if name in ours.left and name in theirs.left]
    sets = [{name: side.left[name] for name in names} | side.logits for side in (ours, theirs, oracle)]
    sets = [{name: aligned(value, sets[2][name]) for name, value in side.items()} for side in sets]
    found = compare("taps", *sets, {name: norm(value) for name, value in sets[2].items()}, at)
    first = first_tie(sides, at)
    places = [comparison.name for comparison in found]
    return found if first is None else excused(found, after=places.index(first), tie=first)


def gradients(sides: Sides, at: Setting) -> list[Comparison]:
    masks, exact = sides.null(at), at.at("float64")
    runs = (sides.candidate.loss_and_gradients(at), *(sides.reference.loss_and_gradients(to) for to in (at, exact)))
    ours, theirs, true = (without_null(grads, masks) for _, grads in runs)
    found = compare("gradients", ours, theirs, true, gradient_scales(true), at)
    first = first_tie(sides, at)
    return found if first is None else excused(found, after=-1, tie=first)


def first_tie(sides: Sides, at: Setting) -> str | None:
    """The first router, of either side, that sends a token elsewhere than the oracle's does, and is tied about it."""
    oracle = sides.reference.forward(at.at("float64")).left
    runs = [side.forward(at).left for side in (sides.candidate, sides.reference)]
    for name in (name for name in oracle if name in sides.pair.routing):
        if any(differing_choices(run[name], oracle[name], sides.pair.routing[name], exact=False)[1] for run in runs):
            return name
    return None


def excused(found: list[Comparison], after: int, tie: str) -> list[Comparison]:
    """Comparisons behind a tie have no limit; they keep what was measured, and say why it does not count."""
    note = f"tie at {tie}"
    return [replace(each, limit=np.inf, note=note) if place > after else each for place, each in enumerate(found)]


def compare(
    stage: str, ours: Arrays, theirs: Arrays, oracle: Arrays, scales: dict[str, float], at: Setting
) -> list[Comparison]:
    roundoff, tolerance = tolerances.UNIT_ROUNDOFF[at.precision], tolerances.ratio(at.precision)
    return rounding_ratio(stage, ours, theirs, oracle, scales, roundoff, tolerance)


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

    Where weights are large beside their updates, the rounding of the sums alone is over the tolerances, in either
    framework (generic weights; scales of one in a tiny model with many norms; tokens that change their expert): there
    the candidate's error is measured in the reference's.
    """
    masks, exact = sides.null(at), at.at("float64")
    ours = sides.candidate.trajectory(at, sides.marks)
    theirs, true = (sides.reference.trajectory(to, sides.marks) for to in (at, exact))
    loss_tolerance, update_tolerance = tolerances.drift(at.precision, routed=bool(sides.pair.routing))
    steps = {f"loss of step {step}": loss for step, loss in enumerate(true.losses)}
    found = relative("trajectory", dict(zip(steps, ours.losses, strict=True)), steps, loss_tolerance)
    honest = relative("trajectory", dict(zip(steps, theirs.losses, strict=True)), steps, loss_tolerance)
    if at.weight_init == "generic" or not all(each.equal for each in honest):
        candidate, other, oracle = ({"losses": np.array(side.losses)} for side in (ours, theirs, true))
        found = compare("trajectory", candidate, other, oracle, {"losses": norm(true.losses)}, at)
    for mark in (mark for mark in true.updates if mark >= 10):
        moved = [without_null(side.updates[mark], masks) for side in (ours, theirs, true)]
        stage = f"update {mark}"
        if at.weight_init == "init" and relative_to_all(stage, moved[1], moved[2], update_tolerance).equal:
            found.append(relative_to_all(stage, moved[0], moved[2], update_tolerance))
        else:
            found.append(
                relative_to_all(stage, moved[0], moved[2], tolerances.ratio(at.precision), in_errors_of=moved[1])
            )
    return found


ROUNDING = {"taps": taps, "routing": routing, "gradients": gradients, "trajectory": trajectory}
