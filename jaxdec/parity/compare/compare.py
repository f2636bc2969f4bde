"""Two dumps, one of each side, compared with the tolerances of their precision.

float64 is the semantic test: relative differences. In low precision a difference says nothing by itself; a third dump,
the reference's in float64, is the oracle against which both sides' errors are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxdec.errors import UserError, listed
from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.compare.dump import STAGES, Dump, read_dump
from jaxdec.parity.compare.engine import COMPARE, Recorded, Terms, by_step
from jaxdec.parity.compare.null import Masks, null_masks
from jaxdec.parity.compare.ties import first_tie


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
    dumps, found = Recorded(ours, theirs, true), []
    tie = _tie(dumps)
    for stage in STAGES:
        without = [side for side in (ours, theirs, true) if not side.stages.get(stage)]
        if ours in without and theirs in without:
            continue
        if without:
            say(f"{stage} not compared: {without[0].folder} does not hold them")
        elif stage == "greedy" and ours.precision != "float64":
            say(f"greedy not compared: in {ours.precision} tokens may honestly differ near a tie")
        else:
            found += _stage(stage, dumps, tie, say)
    if not any(comparison.stage != "weights" for comparison in found):
        raise UserError(
            f"{ours.folder} holds {_held(ours)} and {theirs.folder} {_held(theirs)}: there is nothing to compare"
        )
    return [replace(comparison, weight_init=ours.weight_init, precision=ours.precision) for comparison in found]


def _stage(stage: str, dumps: Recorded, tie: str | None, say: Callable[[str], None]) -> list[Comparison]:
    recorded, at = dumps.each(lambda side: dict(side.stages[stage])), dumps.candidate
    if stage == "losses":
        recorded = recorded.each(by_step)
    names = [name for name in recorded.reference if all(name in side for side in recorded)]
    alone = sorted({name for side in recorded for name in side} - set(names))
    if stage == "taps" and alone:
        if not names:
            raise UserError(
                f"no tap of {at.folder} has the name of one of {dumps.reference.folder}: check the rules for taps"
            )
        say(f"{len(alone)} taps not compared, of modules that one side alone has: {listed(alone, 3)}")
        alone = []
    recorded = recorded.each(lambda side: {name: side[name] for name in names})
    lost = [Comparison(stage, name, np.inf, 0.0, note="held by one side alone") for name in alone]
    null = _null(recorded, at.precision) if stage == "gradients" else {}
    terms = Terms(at.weight_init, at.precision, null, routed=bool(at.routing), tie=tie)
    return COMPARE[stage](stage, recorded, terms) + lost


def _tie(dumps: Recorded) -> str | None:
    """Where rounding sends a token to another expert, if both dumps and the oracle hold taps."""
    taps = dumps.each(lambda side: side.stages.get("taps", {}))
    return None if dumps.candidate.precision == "float64" else first_tie(*taps, dumps.candidate.routing)


def _null(recorded: Recorded, precision: str) -> Masks:
    """Null directions show in float64 alone: there on both sides, in low precision on the oracle."""
    ours, theirs, true = recorded
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


def _held(given: Dump) -> str:
    return ", ".join(given.stages) or "nothing"
