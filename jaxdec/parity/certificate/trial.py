"""One seeded bug: is it caught, at which stage, does bisecting name the right place, and would the usual tolerances do
it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxdec.errors import UserError
from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.compare.comparison import Comparison, Difference
from jaxdec.parity.locate.bisect import bisect
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, stages_of

KL_TOLERANCE = 0.015  # mean KL divergence by which ported models are often accepted, in nats
RTOL, ATOL = 1e-3, 1e-5  # elementwise, on float32 logits


@dataclass(frozen=True)
class MutantTrial:
    """`stage` is the first that fails and `name` its first tensor over the tolerance; both are "" where none fails.

    named: what bisecting names first. allclose, kl: whether these tolerances on float32 logits catch it; None: not
    tried.
    """

    mutant: Mutant
    stage: str = ""
    name: str = ""
    residual: float = 0.0
    named: str = ""
    allclose: bool | None = None
    kl: bool | None = None

    @property
    def caught(self) -> bool:
        return bool(self.stage)

    @property
    def right(self) -> bool:
        """A bug is caught, and a harmless change is not."""
        return self.caught != bool(self.mutant.reason)

    @property
    def located(self) -> bool:
        return self.caught and self.named == self.mutant.where

    def __str__(self) -> str:
        where = f"{self.mutant.pair or 'this pair'}, {self.mutant.weight_init}"
        if self.mutant.reason:
            verdict = f"FALSE ALARM at {self.stage}" if self.caught else "no alarm, as it should be"
        elif not self.caught:
            verdict = "NOT CAUGHT"
        else:
            place = f"in {self.named}" if self.located else f"in {self.named or 'no place'}, NOT {self.mutant.where}"
            verdict = f"{self.stage} {self.residual:.1e}, {place}"
        return f"{self.mutant.name} [{where}]: {verdict}"


def trial(mutant: Mutant, sides: Sides, *, usual: bool = True, stages: Sequence[str] | None = None) -> MutantTrial:
    """Runs the stages (None: all) in order up to the first that fails. With `usual`, also the tolerances of other
    tools."""
    at = Setting(mutant.weight_init)
    with mutant.apply(sides):
        found = up_to_failure(sides, at, stages)
        wrong = [comparison for comparison in found if not comparison.equal]
        tolerances = usual_tolerances(sides, at) if usual and not sides.problems else (None, None)
        if not wrong:
            return MutantTrial(mutant, allclose=tolerances[0], kl=tolerances[1])
        findings = bisect(sides, found, at, in_time=False)
    named = findings[0].where if findings else ""
    return MutantTrial(mutant, wrong[0].stage, wrong[0].name, wrong[0].measured, named, *tolerances)


def up_to_failure(sides: Sides, at: Setting, stages: Sequence[str] | None = None) -> list[Comparison]:
    """All comparisons of the stages in order, none after the first stage that fails."""
    found: list[Comparison] = []
    for name, stage in stages_of(sides.pair).items():
        if stages is not None and name not in stages:
            continue
        try:
            new = list(stage(sides, at))
        except Difference as difference:
            new = difference.comparisons
        found += [replace(each, weight_init=at.weight_init, precision=at.precision) for each in new]
        if not all(each.equal for each in new):
            break
    return found


def usual_tolerances(sides: Sides, at: Setting) -> tuple[bool, bool]:
    """(allclose, KL): whether a look at the logits of one float32 forward pass on each side would have caught it."""
    ours = sides.candidate.forward(at.at("float32")).logits["logits"]
    theirs = reference_logits(sides, at)
    return not np.allclose(ours, theirs, rtol=RTOL, atol=ATOL), not divergence(theirs, ours) < KL_TOLERANCE


def reference_logits(sides: Sides, at: Setting) -> np.ndarray:
    try:
        return sides.reference.forward(at.at("float32")).logits["logits"]
    except (RuntimeError, UserError):  # a bug written in float64 that mixes types: then the exact values, rounded
        return sides.reference.forward(at).logits["logits"].astype(np.float32).astype(np.float64)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """The mean over positions of KL(softmax(p) || softmax(q)), in nats."""
    log_p, log_q = (x - np.logaddexp.reduce(x, axis=-1, keepdims=True) for x in (p, q))
    return float((np.exp(log_p) * (log_p - log_q)).sum(-1).mean())
