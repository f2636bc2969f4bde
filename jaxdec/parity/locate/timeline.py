"""The first training step after which the two runs differ, and the parameters that differ then."""

from __future__ import annotations

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Comparison, relative
from jaxdec.parity.compare.null import compare_updates
from jaxdec.parity.report.report import Finding
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides


def first_bad_step(sides: Sides, at: Setting) -> list[Finding]:
    """Both runs again, looked at after every step; nothing where they never part."""
    marks, null, noise = tuple(range(1, sides.steps + 1)), sides.null(at), sides.noise(at)
    ours, theirs = (side.trajectory(at, marks) for side in (sides.candidate, sides.reference))
    for step in marks:
        label = f"loss of step {step - 1}"
        found = relative("time", {label: ours.losses[step - 1]}, {label: theirs.losses[step - 1]}, tolerances.SEMANTIC)
        found += compare_updates("time", ours.updates[step], theirs.updates[step], null, noise)
        if wrong := [comparison for comparison in found if not comparison.equal]:
            worst = max(wrong, key=lambda comparison: np.nan_to_num(comparison.measured, nan=np.inf))
            text = f"the runs part at step {step}: {group(wrong, sides)}, the furthest {worst.name}"
            return [Finding("semantic", "time", f"step {step}", worst.measured, worst.limit, text)]
    return []


def group(wrong: list[Comparison], sides: Sides) -> str:
    """Which parameters, in as few words as say it."""
    shapes = sides.candidate.candidate.shapes
    names = {comparison.name.partition(" (")[0] for comparison in wrong} & set(shapes)
    matrices = {name for name, at in shapes.items() if len(at.shape) >= 2}
    if not names:
        return "the loss alone"
    for label, members in (
        ("all parameters", set(shapes)),
        ("all matrices and no vector", matrices),
        ("all vectors and no matrix", set(shapes) - matrices),
    ):
        if names == members:
            return label
    return f"{len(names)} of {len(shapes)} parameters"
