"""The whole check of a pair: every stage, every weight init, every precision, and where both sides start to differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from jaxdec.errors import UserError, listed, nearest
from jaxdec.parity.compare.comparison import Comparison, distance, norm, quotient
from jaxdec.parity.compare.null import describe
from jaxdec.parity.locate.bisect import bisect as bisect_setting
from jaxdec.parity.locate.finite import not_finite
from jaxdec.parity.pair import Pair
from jaxdec.parity.report.environment import environment
from jaxdec.parity.report.report import Finding, Hint, Report
from jaxdec.parity.setting import PrecisionName, Setting, WeightInit
from jaxdec.parity.sides.refusals import refuse_noise, refuse_unequal_vocabularies
from jaxdec.parity.sides.stages import STEPS, Sides, stages_of

INHERITING = (
    "accumulation",
    "dropout",
    "sampling",
    "greedy",
    "trajectory",
)  # they only repeat what the model got wrong
MODEL = ("weights", "taps", "logits", "routing", "loss", "gradients")


def check(
    pair: Pair,
    *,
    steps: int = STEPS,
    seed: int = 0,
    weight_inits: Sequence[WeightInit] = ("init", "generic"),
    precisions: Sequence[PrecisionName] = ("float64", "float32", "bfloat16"),
    stages: Sequence[str] | None = None,
    bisect: bool = True,
    say: Callable[[str], Any] = print,
) -> Report:
    """Compares the pair in every setting and stage that is asked for.

    steps: of the training run. seed: of weights, batches and prompts.
    weight_inits, precisions: the settings, each kind of weights in each precision. float64 comes first; where it finds
        a difference, lower precisions are left out, since they could only repeat it.
    stages: names of those to run; None: all.
    bisect: whether to look for what is at fault where something differs.
    say: is told a line for each stage.

    Raises UserError where the pair cannot be compared, and for an unknown stage. Nothing is set back: float64 must be
    on (`jax.enable_x64`), as `assert_parity` and the command line see to.
    """
    started = time.perf_counter()
    run = CheckRun(pair, steps, stages, say)
    with quiet_torch():
        refuse(run.sides, Setting(weight_inits[0], "float64", seed))
        for precision in sorted(precisions, key=lambda name: ("float64", "float32", "bfloat16").index(name)):
            if precision != "float64" and not run.equal:
                run.notes.append(f"{precision} left out: the two differ in a higher precision already")
                continue
            for weight_init in weight_inits:
                run.setting(Setting(weight_init, precision, seed), bisect)
    return Report(
        pair=pair.name,
        comparisons=tuple(run.comparisons),
        findings=tuple(run.findings),
        hints=tuple(run.hints),
        notes=tuple(dict.fromkeys([*pair.notes, *run.notes])),
        curves=run.curves,
        environment=environment(),
        seconds=time.perf_counter() - started,
    )


class CheckRun:
    """A check under way."""

    def __init__(self, pair: Pair, steps: int, stages: Sequence[str] | None, say: Callable[[str], Any]) -> None:
        self.sides, self.say = Sides(pair, steps), say
        self.wanted = list(stages_of(pair)) if stages is None else list(stages)
        for name in self.wanted:
            if name not in stages_of(pair):
                raise UserError(f"there is no stage '{name}' of {pair.name}{nearest(name, stages_of(pair))}")
        self.comparisons: list[Comparison] = []
        self.findings: list[Finding] = []
        self.hints: list[Hint] = []
        self.notes: list[str] = []
        self.curves: dict[str, list[float]] = {}

    @property
    def equal(self) -> bool:
        return all(comparison.equal for comparison in self.comparisons)

    def setting(self, at: Setting, bisect: bool) -> None:
        """All stages of one setting, and what is wrong where one fails."""
        table = stages_of(self.sides.pair, at.precision)
        found: list[Comparison] = []
        for name, stage in table.items():
            if name not in self.wanted:
                continue
            failed = {comparison.stage for comparison in found if not comparison.equal}
            if "weights" in failed or (name in INHERITING and failed & set(MODEL)):
                self.notes.append(f"{name} left out: {sorted(failed)[0]} differ already")
                continue
            new = [replace(each, weight_init=at.weight_init, precision=at.precision) for each in stage(self.sides, at)]
            found += new
            if new:
                self.say(str(max(new, key=lambda each: each.measured / max(each.limit, 1e-300))))
        self.comparisons += found
        if at.precision == "float64" and "weights" not in {each.stage for each in found if not each.equal}:
            self.describe(at, {each.stage for each in found})
        unsound = not_finite(self.sides, found, at)
        self.findings += [each for each in unsound if (each.where, each.kind) not in self.named()]
        if bisect and not unsound:
            findings = bisect_setting(self.sides, found, at)
            self.findings += [each for each in findings if (each.where, each.kind) not in self.named()]
            known = {(hint.seam, hint.where) for hint in self.hints}
            hints = hints_for(self.sides, found, findings, at)
            self.hints += [hint for hint in hints if (hint.seam, hint.where) not in known]

    def named(self) -> set[tuple[str, str]]:
        return {(finding.where, finding.kind) for finding in self.findings}

    def describe(self, at: Setting, done: set[str]) -> None:
        """Notes on taps and null directions, and the curves of the training run."""
        if "taps" in done:
            ours, theirs = self.sides.candidate.forward(at).left, self.sides.reference.forward(at).left
            for side, alone in (
                ("reference", [name for name in theirs if name not in ours]),
                ("candidate", [name for name in ours if name not in theirs]),
            ):
                if alone:
                    self.notes.append(f"taps of the {side} alone, not compared: {len(alone)} ({listed(alone)})")
        if "gradients" in done:
            self.notes += describe(self.sides.null(at))
        if "trajectory" in done:
            ours, theirs = (
                side.trajectory(at, self.sides.marks) for side in (self.sides.candidate, self.sides.reference)
            )
            differences = [quotient(distance(a, b), norm(b)) for a, b in zip(ours.losses, theirs.losses, strict=True)]
            self.curves |= {
                "candidate loss": ours.losses,
                "reference loss": theirs.losses,
                "loss difference": differences,
            }


def hints_for(sides: Sides, found: Sequence[Comparison], findings: Sequence[Finding], at: Setting) -> list[Hint]:
    """Known seams that explain the difference."""
    if at.precision != "float64" or not findings:
        return []
    from jaxdec.parity.hints.hints import hints

    return hints(sides, found, findings, at)


def refuse(sides: Sides, at: Setting) -> None:
    """Raises UserError where the two sides cannot be compared; where weights alone have none to go to, a report says
    which."""
    if sides.problems:
        vocabularies = (side.vocabulary(at) for side in (sides.candidate, sides.reference))
        refuse_unequal_vocabularies(sides.pair, *vocabularies)
    else:
        refuse_noise(sides.pair, sides.reference.forward(at), sides.reference.forward(at))


@contextmanager
def quiet_torch() -> Any:
    """Small tensors: threads cost more than they bring."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
