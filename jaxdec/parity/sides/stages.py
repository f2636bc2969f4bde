"""The criterion in float64, stage by stage: each returns what it measured, in units that a tolerance limits.

`Sides` holds a pair's two sides. The order is the one in which a fault shows first where it sits: what a stage finds,
those before it have not.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Comparison, aligned, norm, norm_of_all, relative
from jaxdec.parity.compare.null import compare_gradients, compare_updates, noise_masks, null_masks
from jaxdec.parity.pair import CompareStage, Pair
from jaxdec.parity.setting import Arrays, Setting
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


def taps(sides: Sides, at: Setting) -> list[Comparison]:
    """What every module returns, in the order of execution on the reference."""
    ours, theirs = sides.candidate.forward(at), sides.reference.forward(at)
    refuse_unequal_vocabularies(sides.pair, *(side.logits["logits"].shape[-1] for side in (ours, theirs)))
    refuse_unmatched_taps(sides.pair, ours.left, theirs.left)
    return relative("taps", *shared(ours.left, theirs.left), tolerances.SEMANTIC)


def logits(sides: Sides, at: Setting) -> list[Comparison]:
    ours, theirs = sides.candidate.forward(at), sides.reference.forward(at)
    refuse_unequal_vocabularies(sides.pair, *(side.logits["logits"].shape[-1] for side in (ours, theirs)))
    return relative("logits", ours.logits, theirs.logits, tolerances.SEMANTIC)


def routing(sides: Sides, at: Setting) -> list[Comparison]:
    """How many tokens go to another set of experts; a tie within the error of the scores is no difference."""
    if not sides.pair.routing:
        return []
    ours, theirs, found = sides.candidate.forward(at).left, sides.reference.forward(at).left, []
    for name, chosen in sides.pair.routing.items():
        wrong, ties = differing_choices(ours[name], theirs[name], chosen)
        note = f"{ties} ties" if ties else ""
        found.append(Comparison("routing", name, float(wrong), 0.0, note=note))
    return found


def differing_choices(ours: np.ndarray, theirs: np.ndarray, chosen: int, *, exact: bool = True) -> tuple[int, int]:
    """(choices that differ, ties that differ) between the sets of the `chosen` highest scores, [N,E] each.

    A set is tied where the reference's margin between the last in and the first out is within the scores' own
    difference. In an `exact` run that is no excuse where scores are over their own tolerance: then it is they that
    differ."""
    ours, theirs = (side.reshape(-1, side.shape[-1]) for side in (ours, theirs))
    sets = [np.sort(np.argsort(-side, axis=-1, kind="stable")[:, :chosen], axis=-1) for side in (ours, theirs)]
    differs = (sets[0] != sets[1]).any(axis=-1)
    ranked = -np.sort(-theirs, axis=-1)
    margin = ranked[:, chosen - 1] - ranked[:, chosen] if chosen < theirs.shape[-1] else np.full(len(theirs), np.inf)
    error = np.abs(ours - theirs).max(axis=-1)
    tied = margin <= 2 * error
    if exact:
        tied &= error <= tolerances.SEMANTIC.limit * np.abs(theirs).max(initial=1e-300)
    return int((differs & ~tied).sum()), int((differs & tied).sum())


def loss(sides: Sides, at: Setting) -> list[Comparison]:
    (ours, _), (theirs, _) = sides.gradients(at)
    return relative("loss", {"loss": ours}, {"loss": theirs}, tolerances.SEMANTIC)


def gradients(sides: Sides, at: Setting) -> list[Comparison]:
    """The loss's derivative by every parameter."""
    (_, ours), (_, theirs) = sides.gradients(at)
    return compare_gradients("gradients", ours, theirs, null_masks(ours, theirs))


def optimizer(sides: Sides, at: Setting) -> list[Comparison]:
    """Updates from identical gradients: null directions are given too, so that nothing is noise."""
    given = made_up_gradients(sides.transfer, at.seed)
    plan = sides.transfer.plan
    ours = sides.candidate.updates(at, [plan.tangents_to_candidate(grads) for grads in given])
    return relative("optimizer", ours, sides.reference.updates(at, given), tolerances.SEMANTIC)


def made_up_gradients(transfer: Transfer, seed: int) -> list[Arrays]:
    """For an optimizer, under the reference's names: elements from far below Adam's epsilon up to one, and whole norms
    on both sides of a clip. What the rules leave out gets none, since a clip sees all that there is."""
    rng, sets = np.random.default_rng(seed), []
    for size in (3.0, 0.2, 1.5, 0.7, 40.0):
        drawn = {
            name: rng.standard_normal(at.shape) * 10 ** rng.uniform(-9, 0, at.shape)
            for name, at in sorted(transfer.shapes.items())
        }
        transfer.plan.clear_left_out(drawn)
        scale = size / norm_of_all(drawn)
        sets.append({name: (scale * value).astype(np.float32).astype(np.float64) for name, value in drawn.items()})
    return sets


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
    """How many tokens differ up to the first tie, after which two honest continuations part."""
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
        return relative("checkpoint", numpy(restored), numpy(params), tolerances.EXACT)
    finally:
        shutil.rmtree(folder)


def trajectory(sides: Sides, at: Setting) -> list[Comparison]:
    """A training run: the loss of every step, and how far each parameter has moved by each mark."""
    ours, theirs = (side.trajectory(at, sides.marks) for side in (sides.candidate, sides.reference))
    steps = {f"loss of step {step}": loss for step, loss in enumerate(theirs.losses)}
    found = relative("trajectory", dict(zip(steps, ours.losses, strict=True)), steps, tolerances.SEMANTIC)
    null, noise = sides.null(at), sides.noise(at)
    for mark, reached in theirs.updates.items():
        found += compare_updates("trajectory", ours.updates[mark], reached, null, noise, f" after {mark}")
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


def stages_of(pair: Pair) -> dict[str, CompareStage]:
    """All stages of a pair in order; its own come before those that would only inherit what they find."""
    return {**BEFORE, **pair.stages, **AFTER}


def shared(ours: Arrays, theirs: Arrays) -> tuple[Arrays, Arrays]:
    """The taps of both sides, in the reference's order: a side may fuse projections. Where one has flattened batch and
    time, its values are read in the other's shape."""
    names = [name for name in theirs if name in ours]
    return {name: aligned(ours[name], theirs[name]) for name in names}, {name: theirs[name] for name in names}
