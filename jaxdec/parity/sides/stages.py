"""The stages of a check: each has both sides compute something, and the engine compare it.

`Sides` holds a pair's two sides. The stages run from causes to effects, so the first stage that fails is
nearest to the fault.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.parity.compare import engine, tolerances
from jaxdec.parity.compare.comparison import Comparison, norm
from jaxdec.parity.compare.engine import Recorded, Terms, by_step
from jaxdec.parity.compare.null import noise_masks, null_masks
from jaxdec.parity.compare.ties import compare_choices, first_tie
from jaxdec.parity.pair import CompareStage, Pair
from jaxdec.parity.setting import Arrays, PrecisionName, Setting
from jaxdec.parity.sides.candidate_side import CandidateSide
from jaxdec.parity.sides.reference_side import ReferenceSide
from jaxdec.parity.sides.refusals import refuse_unequal_vocabularies, refuse_unmatched_taps
from jaxdec.parity.sides.transfer import Transfer

STEPS = 100
TOKENS = 8  # greedy tokens after each prompt, or what the context leaves


class Sides:
    """A pair's two sides with the same weights. The candidate's results are kept; the reference's are made anew."""

    def __init__(self, pair: Pair, steps: int = STEPS) -> None:
        self.pair, self.steps = pair, steps
        self.transfer = Transfer(pair)
        self.candidate, self.reference = CandidateSide(self.transfer), ReferenceSide(self.transfer)

    @cached_property
    def problems(self) -> list[Comparison]:
        return [
            Comparison("weights", problem.name, np.inf, 0.0, note=problem.text)
            for problem in self.transfer.plan.problems
            if problem.kind != "square"
        ]

    @property
    def marks(self) -> tuple[int, ...]:
        """Steps after which updates are compared."""
        return tuple(sorted({min(mark, self.steps) for mark in (1, 10, self.steps)}))

    def gradients(self, at: Setting) -> tuple[tuple[float, Arrays], tuple[float, Arrays]]:
        return self.candidate.loss_and_gradients(at), self.reference.loss_and_gradients(at)

    def noise(self, at: Setting) -> dict[str, np.ndarray]:
        """Elements whose updates rounding decides, at the first step of a run with these weights."""
        (_, ours), (_, theirs) = self.gradients(at.at("float64"))
        return noise_masks(ours, theirs)

    def null(self, at: Setting) -> dict[str, np.ndarray]:
        """Null directions of the float64 run with these weights. Noise may be exactly zero by chance, and an element
        that is zero may have a gradient in the next batch: other weights tell the two apart."""
        at = at.at("float64")
        (_, ours), (_, theirs) = self.gradients(at)
        masks = null_masks(ours, theirs)
        zeros = {name: (ours[name] == 0) & (theirs[name] == 0) for name in masks}
        if any(zero.any() for zero in zeros.values()):
            (_, ours), (_, theirs) = self.gradients(replace(at, seed=at.seed + 1))
            others = null_masks(ours, theirs)
            masks = {name: mask | (zeros[name] & others.get(name, False)) for name, mask in masks.items()}
        return masks


def weights(sides: Sides, at: Setting) -> list[Comparison]:
    """Names, shapes and elements are a bijection; and there and back again changes no bit."""
    if sides.problems:
        return sides.problems
    given = sides.transfer.weights(at)
    back = sides.transfer.plan.to_reference(given.candidate, base=given.reference)
    return [Comparison("weights", name, norm(back[name] - value), 0.0) for name, value in given.reference.items()]


def recorded(sides: Sides, at: Setting, read: Callable[[CandidateSide | ReferenceSide, Setting], Any]) -> Recorded:
    """What `read` reads off both sides, and off the reference in float64."""
    theirs = read(sides.reference, at)
    oracle = theirs if at.precision == "float64" else read(sides.reference, at.at("float64"))
    return Recorded(read(sides.candidate, at), theirs, oracle)


def terms(sides: Sides, at: Setting, **more: Any) -> Terms:
    return Terms(at.weight_init, at.precision, routed=bool(sides.pair.routing), **more)


def forward(sides: Sides, at: Setting) -> Recorded:
    return recorded(sides, at, lambda side, to: side.forward(to))


def tie_of(sides: Sides, runs: Recorded, at: Setting) -> str | None:
    """The first router that rounding sends astray in these forward passes."""
    return None if at.precision == "float64" else first_tie(*runs.each(lambda run: run.left), sides.pair.routing)


def taps(sides: Sides, at: Setting) -> list[Comparison]:
    """What every module returns, in the order of execution on the reference. A side may have fused projections: what
    both have is compared."""
    runs = forward(sides, at)
    refuse_unequal_vocabularies(sides.pair, *(run.logits["logits"].shape[-1] for run in runs[:2]))
    refuse_unmatched_taps(sides.pair, runs.candidate.left, runs.reference.left)
    names = [name for name in runs.oracle.left if all(name in run.left for run in runs)]
    left = runs.each(lambda run: {name: run.left[name] for name in names})
    return engine.values("taps", left, terms(sides, at, tie=tie_of(sides, runs, at)))


def logits(sides: Sides, at: Setting) -> list[Comparison]:
    runs = forward(sides, at)
    refuse_unequal_vocabularies(sides.pair, *(run.logits["logits"].shape[-1] for run in runs[:2]))
    tie = tie_of(sides, runs, at)
    return engine.values("logits", runs.each(lambda run: run.logits), terms(sides, at, tie=tie))


def routing(sides: Sides, at: Setting) -> list[Comparison]:
    """How many tokens go to another set of experts; a tie within the error of the scores is no difference."""
    if not sides.pair.routing:
        return []
    ours, _, true = forward(sides, at)
    return compare_choices(ours.left, true.left, sides.pair.routing, exact=at.precision == "float64")


def loss(sides: Sides, at: Setting) -> list[Comparison]:
    found = recorded(sides, at, lambda side, to: {"loss": side.loss_and_gradients(to)[0]})
    return engine.losses("loss", found, terms(sides, at))


def gradients(sides: Sides, at: Setting) -> list[Comparison]:
    """The loss's derivative by every parameter."""
    found = recorded(sides, at, lambda side, to: side.loss_and_gradients(to)[1])
    if at.precision == "float64":
        return engine.gradients("gradients", found, terms(sides, at, null=null_masks(*found[:2])))
    tie = tie_of(sides, forward(sides, at), at) if sides.pair.routing else None
    return engine.gradients("gradients", found, terms(sides, at, null=sides.null(at), tie=tie))


def optimizer(sides: Sides, at: Setting) -> list[Comparison]:
    """Updates from identical gradients: null directions are given too, so that nothing is noise."""
    given = sides.transfer.made_up_gradients(at.seed)
    plan = sides.transfer.plan
    ours = sides.candidate.updates(at, [plan.tangents_to_candidate(grads) for grads in given])
    theirs = sides.reference.updates(at, given)
    return engine.updates("optimizer", Recorded(ours, theirs, theirs), terms(sides, at))


def greedy(sides: Sides, at: Setting) -> list[Comparison]:
    """The most likely continuations, with the candidate's cache and without: the same tokens, but after a tie."""
    if at.weight_init != "generic" or not sides.pair.continues:
        return []
    count = continued(sides.pair, at.seed)
    found, theirs = [], sides.reference.greedy(at, count)
    ways = [False, True] if sides.candidate.candidate.generate is not None else [False]
    for cached in ways:
        for row, (ours, true) in enumerate(zip(sides.candidate.greedy(at, count, cached=cached), theirs, strict=True)):
            label = f"prompt {row}, {'cached' if cached else 'whole text'}"
            wrong, note = differing_tokens(sides, at, row, ours, true)
            found.append(Comparison("greedy", label, float(wrong), 0.0, note=note))
    return found


def continued(pair: Pair, seed: int) -> int:
    """How many tokens fit after every prompt."""
    return min(TOKENS, pair.context - max(prompt.size for prompt in pair.prompts(seed)))


def differing_tokens(sides: Sides, at: Setting, row: int, ours: np.ndarray, true: np.ndarray) -> tuple[int, str]:
    """How many tokens differ up to the first tie, after which two correct continuations may differ."""
    places = np.flatnonzero(ours != true)
    if not places.size:
        return 0, ""
    first = int(places[0])
    text = np.concatenate([sides.pair.prompts(at.seed)[row], true[:first]]).astype(np.int32)
    scores_V = sides.reference.next_logits(at, text[-sides.pair.context :])
    margin = scores_V[true[first]] - scores_V[ours[first]]
    if abs(margin) <= tolerances.SEMANTIC.limit * np.abs(scores_V).max():
        return 0, f"tie at token {first}"
    return int(places.size), f"first at token {first}"


def checkpoint(sides: Sides, at: Setting) -> list[Comparison]:
    """Parameters saved and restored are the same in every bit: thirds of the weights, which use all of them."""
    from jaxdec.checkpoints.checkpoints import Checkpoints, restore_params
    from jaxdec.parity.sides.candidate_side import native, numpy

    if at.weight_init != "generic":
        return []
    folder = Path(tempfile.mkdtemp(prefix="parity-"))
    try:
        with native(at.precision):
            params = {name: value / 3 for name, value in sides.candidate.params(at).items()}
            checkpoints = Checkpoints(folder / "checkpoints", keep=1)
            checkpoints.save(1, {"step": np.int32(1), "params": params}, {})
            checkpoints.close()
            restored, _ = restore_params(folder / "checkpoints")
        saved = numpy(params)
        return engine.copies("checkpoint", Recorded(numpy(restored), saved, saved), terms(sides, at))
    finally:
        shutil.rmtree(folder)


def trajectory(sides: Sides, at: Setting) -> list[Comparison]:
    """A training run: the loss of every step, and how far each parameter has moved by each mark; in low precision from
    step 10 on, since Adam's first steps are signs."""
    runs = recorded(sides, at, lambda side, to: side.trajectory(to, sides.marks))
    exact = at.precision == "float64"
    given = terms(sides, at, null=sides.null(at), noise=sides.noise(at) if exact else {})
    found = engine.losses("trajectory", runs.each(lambda run: by_step({"loss": run.losses})), given)
    for mark in (mark for mark in runs.oracle.updates if exact or mark >= 10):
        moved = runs.each(lambda run, mark=mark: run.updates[mark])
        found += engine.updates("trajectory", moved, given, f" after {mark}", training=True)
    return found


BEFORE: Mapping[str, Any] = {
    "weights": weights,
    "taps": taps,
    "logits": logits,
    "routing": routing,
    "loss": loss,
    "gradients": gradients,
}
AFTER: Mapping[str, Any] = {
    "optimizer": optimizer,
    "greedy": greedy,
    "checkpoint": checkpoint,
    "trajectory": trajectory,
}
LOW = ("taps", "logits", "routing", "gradients", "trajectory")  # where rounding shows


def stages_of(pair: Pair, precision: PrecisionName = "float64") -> dict[str, CompareStage]:
    """All stages of a pair in order; its own come before those that would only inherit what they find. Low precision
    repeats those in which rounding shows."""
    stages = {**BEFORE, **pair.stages, **AFTER}
    return stages if precision == "float64" else {name: stages[name] for name in LOW}
