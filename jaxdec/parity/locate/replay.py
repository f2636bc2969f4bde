"""Names every faulty module, not only the first: each is run alone, on the reference's own values.

The candidate runs once. Every tapped module is given the input that the reference's module got, and hands on what that
one returned, whatever it computed itself. So a module's result depends on its own code alone, and what arrives at a
module depends on the code of the one around it. The backward pass is split in the same way (`candidate_side`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import aligned, distance, norm
from jaxdec.parity.compare.null import null_masks, wholly_null
from jaxdec.parity.report.report import Finding
from jaxdec.parity.setting import Arrays, Setting
from jaxdec.parity.sides.recording import Backward, Forward
from jaxdec.parity.sides.stages import Sides

WHOLE = "model"  # what surrounds the outermost modules


def replay_forward(sides: Sides, at: Setting) -> list[Finding]:
    """Modules whose own code computes something else, in the order of execution."""
    theirs = sides.reference.forward(at)
    ours = sides.candidate.replay(at, *given(theirs))
    faults: dict[str, tuple[float, str]] = {}
    names = [name for name in theirs.left if name in ours.left]
    for name in names:  # in the order in which modules end; inputs of later ones belong to those around them
        if name in ours.entered and name in theirs.entered:
            _note(faults, owner(name, names), excess(ours.entered, theirs.entered, name), f"what it hands to {name}")
        _note(faults, name, excess(ours.left, theirs.left, name), "what it returns")
    _note(faults, WHOLE, excess(ours.logits, theirs.logits, "logits"), "the logits")
    return [_finding("forward", name, error, what) for name, (error, what) in faults.items()]


def replay_backward(sides: Sides, at: Setting) -> list[Finding]:
    """Modules whose own backward pass computes something else, last one first."""
    theirs, true = without_side_results(sides.reference.forward(at), sides.reference.backward(at))
    ours, tapped = sides.candidate.replay_backward(at, theirs, true), sides.candidate.forward(at)
    faults: dict[str, tuple[float, str]] = {}
    names = [name for name in theirs.left if name in tapped.left]  # derivatives by what is not there are zero
    if not tapped.entered:  # a plain function: what reads a tap is not known, what reads a parameter is by its name
        _note_parameters(faults, ours.parameters, true.parameters, names)
    for name in reversed(names):
        _note(faults, owner(name, names), excess(ours.left, true.left, name), f"the derivative by {name}'s result")
        if name in tapped.entered and name in true.entered:
            _note(faults, name, excess(ours.entered, true.entered, name), "the derivative by its input")
    _note_parameters(faults, ours.parameters, true.parameters, names)
    return [_finding("backward", name, error, what) for name, (error, what) in faults.items()]


def replay_loss(sides: Sides, at: Setting) -> list[Finding]:
    """Whether the loss itself has another derivative, by the reference's own logits."""
    true = sides.reference.backward(at).logits["logits"]
    ours = sides.candidate.loss_by_logits(at, sides.reference.forward(at).logits["logits"])
    error = 0.0 if ours is None else excess({"logits": ours}, {"logits": true}, "logits")
    if error <= tolerances.SEMANTIC.limit:
        return []
    text = f"loss: its derivative by the logits differs by {error:.1e} when it is given the reference's own logits"
    return [Finding("semantic", "component", "loss", error, tolerances.SEMANTIC.limit, text)]


def without_side_results(forward: Forward, backward: Backward) -> tuple[Forward, Backward]:
    """Without the taps of modules that hand on something else than what is tapped, as a router may return its scores
    beside the weights that it makes of them: forcing the scores says nothing of what the loss depends on there."""
    aside = {
        name
        for name, value in backward.left.items()
        if not value.any() and name in backward.entered and backward.entered[name].any()
    }

    def rest(tensors: Arrays) -> Arrays:
        return {name: value for name, value in tensors.items() if name not in aside}

    return (
        forward._replace(entered=rest(forward.entered), left=rest(forward.left)),
        backward._replace(entered=rest(backward.entered), left=rest(backward.left)),
    )


def _note_parameters(faults: dict[str, tuple[float, str]], ours: Arrays, theirs: Arrays, names: list[str]) -> None:
    null = wholly_null(null_masks(ours, theirs), ours, theirs)
    for parameter in theirs:
        if parameter not in null:
            _note(faults, owner(parameter, names), excess(ours, theirs, parameter), f"the gradient of {parameter}")


def given(theirs: Forward) -> tuple[Arrays, Arrays]:
    """What modules are fed, and what they hand on."""
    return theirs.entered, theirs.left


def owner(name: str, modules: Iterable[str]) -> str:
    """The innermost module around `name` among `modules`."""
    around = [module for module in modules if name.startswith(module + ".")]
    return max(around, key=len, default=WHOLE)


def excess(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], name: str) -> float:
    """|ours - theirs| / |theirs|."""
    value, scale = theirs[name], norm(theirs[name])
    error = distance(aligned(ours[name], value), value)
    return error / scale if scale else (0.0 if error == 0 else np.inf)


def rounding_faults(sides: Sides, at: Setting) -> list[Finding]:
    """In low precision: modules that lose much more than the reference's do."""
    tolerance, kind = tolerances.module_ratio(at.precision), "rounding" if at.precision == "float32" else "precision"
    found = []
    for name, ratio in module_ratios(sides, at).items():
        if not ratio <= tolerance.limit:
            text = f"{name} is {ratio:.3g} times as far from float64 as the reference's (tolerance {tolerance.limit:g})"
            found.append(Finding(kind, "forward", name, ratio, tolerance.limit, text))
    return found


def module_ratios(sides: Sides, at: Setting) -> dict[str, float]:
    """The error of each module alone, in the reference's: both read the same inputs, which the precision has, so that
    what is measured is the module's own rounding.

    What a module hands to those inside it is left aside: compilers keep more digits between operations that they fuse,
    and frameworks fuse others."""
    exact = at.at("float64")
    inputs, outputs = (rounded(side, at.precision) for side in given(sides.reference.forward(exact)))
    oracle = sides.reference.replay(exact, inputs, outputs)
    ours, theirs = (side.replay(at, inputs, outputs) for side in (sides.candidate, sides.reference))
    ratios = {}
    for name in (name for name in oracle.left if name in ours.left):
        true = oracle.left[name]
        error, other = (distance(aligned(side.left[name], true), true) for side in (ours, theirs))
        # One rounding of the result makes about 0.3 u; a reference that makes less is exact by chance.
        unit = max(other, 0.2 * tolerances.UNIT_ROUNDOFF[at.precision] * norm(true))
        ratios[name] = error / unit if unit else error
    return ratios


def rounded(arrays: Arrays, precision: str) -> Arrays:
    """The nearest numbers that the precision has, in float64."""
    import ml_dtypes

    dtype = ml_dtypes.bfloat16 if precision == "bfloat16" else np.dtype(precision)
    return {name: value.astype(dtype).astype(np.float64) for name, value in arrays.items()}


def _note(faults: dict[str, tuple[float, str]], name: str, error: float, what: str) -> None:
    if not error <= tolerances.SEMANTIC.limit and error > faults.get(name, (0.0, ""))[0]:
        faults[name] = (error, what)


def _finding(direction: Literal["forward", "backward"], name: str, error: float, what: str) -> Finding:
    text = f"{name}: {what} differs by {error:.1e} when it is given the reference's own values"
    return Finding("semantic", direction, name, error, tolerances.SEMANTIC.limit, text)
