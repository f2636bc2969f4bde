"""Two dumps, one of each side, held against the tolerances of their precision.

float64 is the semantic test: relative differences. In low precision a difference says nothing by itself; a third dump,
the reference's in float64, is the oracle against which both sides' errors are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxdec.errors import UserError
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
from jaxdec.parity.compare.dump import STAGES, Dump, read_dump
from jaxdec.parity.compare.null import Masks, compare_gradients, null_masks, without_null

Arrays = dict[str, np.ndarray]


def compare_dumps(
    candidate: str | Path,
    reference: str | Path,
    oracle: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """Every stage that both dumps hold, in order; a tensor that one side lacks is infinitely far, but for taps.

    `oracle` is the reference's dump in float64, which low precision needs. `say` is told in one line each what was left
    out. Raises UserError for folders that are no sound dumps, or not two sides of one run.
    """
    ours, theirs = read_dump(candidate), read_dump(reference)
    _require_side(ours, "candidate")
    _require_side(theirs, "reference")
    _require_same_run(ours, theirs)
    if ours.precision != theirs.precision:
        raise UserError(
            f"{ours.folder} is in {ours.precision} and {theirs.folder} in {theirs.precision}: dump both in the same"
        )
    true = _oracle(ours, theirs, oracle)
    found: list[Comparison] = []
    for stage in STAGES:
        without = [side for side in (ours, theirs, true) if not side.stages.get(stage)]
        if ours in without and theirs in without:
            continue
        if without:
            say(f"{stage} not compared: {without[0].folder} does not hold them")
        elif stage == "greedy" and ours.precision != "float64":
            say(f"greedy not compared: in {ours.precision} tokens may honestly differ near a tie")
        else:
            found += _stage(stage, ours, theirs, true, say)
    if not any(comparison.stage != "weights" for comparison in found):
        raise UserError(
            f"{ours.folder} holds {_held(ours)} and {theirs.folder} {_held(theirs)}: there is nothing to compare"
        )
    return [replace(comparison, weight_init=ours.weight_init, precision=ours.precision) for comparison in found]


def _stage(stage: str, ours: Dump, theirs: Dump, true: Dump, say: Callable[[str], None]) -> list[Comparison]:
    sides = [dict(side.stages[stage]) for side in (ours, theirs, true)]
    if stage == "losses":
        sides = [_by_step(side) for side in sides]
    names = [name for name in sides[1] if all(name in side for side in sides)]
    alone = sorted({name for side in sides for name in side} - set(names))
    if stage == "taps" and alone:
        if not names:
            raise UserError(f"no tap of {ours.folder} has the name of one of {theirs.folder}: check the rules for taps")
        say(f"{len(alone)} taps not compared, of modules that one side alone has: {_listed(alone)}")
        alone = []
    sides = [{name: side[name] for name in names} for side in sides]
    if stage in ("taps", "logits"):
        sides = [{name: aligned(value, sides[2][name]) for name, value in side.items()} for side in sides]
    lost = [Comparison(stage, name, np.inf, 0.0, note="held by one side alone") for name in alone]
    if stage == "weights":
        return relative(stage, sides[0], sides[1], tolerances.EXACT) + lost
    if stage == "greedy":
        return [Comparison(stage, name, _different(sides[0][name], sides[1][name]), 0.0) for name in names] + lost
    masks = _null(sides, ours.precision) if stage == "gradients" else {}
    if ours.precision == "float64":
        return _semantic(stage, sides[0], sides[1], masks) + lost
    if stage in ("loss", "losses"):
        return _losses(stage, *sides, precision=ours.precision, weight_init=ours.weight_init) + lost
    return _rounded(stage, *sides, precision=ours.precision, masks=masks) + lost


def _semantic(stage: str, ours: Arrays, theirs: Arrays, masks: Masks) -> list[Comparison]:
    if stage == "gradients":
        return compare_gradients(stage, ours, theirs, masks)
    return relative(stage, ours, theirs, tolerances.SEMANTIC)


def _rounded(stage: str, ours: Arrays, theirs: Arrays, true: Arrays, precision: str, masks: Masks) -> list[Comparison]:
    """The error against the oracle in the errors of the reference."""
    tolerance = tolerances.ratio(precision)
    if stage == "updates":
        return [relative_to_all(stage, ours, true, tolerance, in_errors_of=theirs)]
    if stage == "gradients":
        ours, theirs, true = (without_null(side, masks) for side in (ours, theirs, true))
        scales = gradient_scales(true) if true else {}
    else:
        scales = {name: norm(value) for name, value in true.items()}
    return rounding_ratio(stage, ours, theirs, true, scales, tolerances.UNIT_ROUNDOFF[precision], tolerance)


def _losses(
    stage: str, ours: Arrays, theirs: Arrays, true: Arrays, precision: str, weight_init: str
) -> list[Comparison]:
    """Relative to the oracle's. Where honest losses drift further (generic weights are large beside their updates, a
    token may change its expert), all as one vector in the errors of the reference."""
    tolerance, _ = tolerances.drift(precision, routed=False)
    found = relative(stage, ours, true, tolerance)
    honest = found if weight_init == "generic" else relative(stage, theirs, true, tolerance)
    if all(comparison.equal for comparison in honest):
        return found
    name = "all losses" if stage == "losses" else stage
    ours, theirs, true = ({name: np.array(list(side.values()))} for side in (ours, theirs, true))
    scales = {name: norm(true[name])}
    return rounding_ratio(
        stage, ours, theirs, true, scales, tolerances.UNIT_ROUNDOFF[precision], tolerances.ratio(precision)
    )


def _null(sides: list[Arrays], precision: str) -> Masks:
    """Null directions show in float64 alone: there on both sides, in low precision on the oracle."""
    ours, theirs, true = sides
    return null_masks(ours, theirs) if precision == "float64" else null_masks(true, true)


def _require_side(given: Dump, side: str) -> None:
    if given.side != side:
        raise UserError(
            f"{given.folder} is a dump of the {given.side} where one of the {side} belongs: "
            "give the candidate's first and the reference's second"
        )


def _require_same_run(a: Dump, b: Dump) -> None:
    """The same pair, weights and batch: anything else would be no comparison."""
    both = f"{a.folder} and {b.folder}"
    for what in ("pair", "weight_init", "seed"):
        ours, theirs = getattr(a, what), getattr(b, what)
        if ours != theirs:
            said = what.replace("_", " ")
            raise UserError(f"{both} have different {said}s ({ours} and {theirs}): dump both with the same {said}")
    if a.batches != b.batches:
        raise UserError(f"{both} are of {a.batches} and {b.batches} batches: dump both with as many steps")
    if parts := sorted(set(a.batch.items()) ^ set(b.batch.items())):
        raise UserError(f"{both} are of different batches (their {parts[0][0]} differ): dump both from the same batch")
    if a.weights != b.weights:
        rules = ", and so do their weight rules" if a.rules != b.rules else ""
        raise UserError(
            f"{both} are of different weights ({_first_different(a, b)} differs{rules}): dump both from the same"
        )


def _oracle(ours: Dump, theirs: Dump, folder: str | Path | None) -> Dump:
    """In float64 the reference is its own oracle."""
    if ours.precision == "float64":
        if folder is not None:
            raise UserError(f"the dumps are in float64, where the reference is the oracle: leave {folder} out")
        return theirs
    if folder is None:
        raise UserError(
            f"two dumps in {ours.precision} cannot tell rounding from a bug: give as the oracle a third, "
            "of the reference in float64"
        )
    true = read_dump(folder)
    if (true.side, true.precision) != ("reference", "float64"):
        raise UserError(
            f"{true.folder} is a dump of the {true.side} in {true.precision}: the oracle is the reference in float64"
        )
    _require_same_run(ours, true)
    return true


def _first_different(a: Dump, b: Dump) -> str:
    ours, theirs = a.stages["weights"], b.stages["weights"]
    for name in [*theirs, *ours]:
        if name not in ours or name not in theirs or not np.array_equal(ours[name], theirs[name], equal_nan=True):
            return name
    return "a digest"


def _by_step(losses: Arrays) -> dict[str, np.ndarray]:
    """A number for each step of each run: "loss of step 3"."""
    return {f"{name} of step {step}": at for name, run in losses.items() for step, at in enumerate(np.atleast_1d(run))}


def _different(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours != theirs).sum()) if ours.shape == theirs.shape else float(max(ours.size, theirs.size, 1))


def _held(given: Dump) -> str:
    return ", ".join(given.stages) or "nothing"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
