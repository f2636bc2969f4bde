"""From a failed check to the places that are wrong: modules by replay, steps by time, and else the component."""

from __future__ import annotations

from collections.abc import Sequence

from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.locate.narrow import as_precision
from jaxdec.parity.locate.replay import replay_backward, replay_forward, replay_loss, rounding_faults
from jaxdec.parity.locate.timeline import first_bad_step
from jaxdec.parity.report.report import Finding
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides

# What is at fault when a stage fails that those before it have passed.
COMPONENTS = {
    "loss": "loss",
    "gradients": "loss",
    "init": "initial weights",
    "schedule": "schedule",
    "accumulation": "accumulation",
    "dropout": "dropout",
    "sampling": "generation",
    "greedy": "generation",
    "checkpoint": "checkpoint",
    "optimizer": "optimizer",
    "trajectory": "training",
}
FORWARD = {"taps", "logits", "routing", "loss", "gradients"}


def bisect(sides: Sides, comparisons: Sequence[Comparison], at: Setting, *, in_time: bool = True) -> list[Finding]:
    """What is wrong in one setting, given its comparisons; the most telling first. `in_time` also looks for the first
    bad step of a training run."""
    wrong = [comparison for comparison in comparisons if not comparison.equal]
    if not wrong:
        return []
    if at.precision != "float64":
        return rounding_faults(sides, at) or [component(wrong)]
    if wrong[0].stage == "weights":
        return [
            Finding(
                "semantic",
                "weights",
                each.name,
                each.measured,
                each.limit,
                each.note or f"{each.name} changed on the way",
            )
            for each in wrong
            if each.stage == "weights"
        ]
    null = {moved(each): each for each in reversed(wrong) if each.name.endswith("(null)")}  # each once, where it began
    found = [null_direction(each) for each in reversed(null.values())]
    stages = {comparison.stage for comparison in wrong if not comparison.name.endswith("(null)")}
    if stages & FORWARD:
        found += as_precision(
            sides, replay_forward(sides, at) or [*replay_loss(sides, at), *replay_backward(sides, at)], at
        )
    explained = FORWARD | {"accumulation", "dropout", "greedy", "sampling", "trajectory"} if found else set()
    others = [each for each in wrong if each.stage not in explained and not each.name.endswith("(null)")]
    found += [
        component([each for each in others if each.stage == stage]) for stage in dict.fromkeys(e.stage for e in others)
    ]
    if in_time and {"optimizer", "trajectory"} & {each.stage for each in others}:
        found += first_bad_step(sides, at)
    return found


def component(wrong: Sequence[Comparison]) -> Finding:
    first = wrong[0]
    kind = {"float64": "semantic", "float32": "rounding"}.get(first.precision, "precision")
    where = COMPONENTS.get(first.stage.split()[0], first.stage)
    text = f"{where}: {first.name} is the first of {len(wrong)} over the tolerance, with what it is computed from equal"
    return Finding(kind, "component", where, first.measured, first.limit, text)  # type: ignore[arg-type]


def null_direction(each: Comparison) -> Finding:
    name = moved(each)
    text = f"{name} cannot change the output, and differs by more than noise ({each.name.removesuffix(' (null)')})"
    return Finding("null direction", "component", name, each.measured, each.limit, text)


def moved(each: Comparison) -> str:
    """The parameter that a comparison of null elements is about, without the step."""
    return each.name.removesuffix(" (null)").partition(" after ")[0]
