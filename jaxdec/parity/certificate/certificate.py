"""The sensitivity certificate: what the check of a pair is worth, measured by seeded bugs.

A tolerance that no bug fails proves nothing. `certify` seeds one bug after the other and notes whether the float64
stages catch it, whether bisecting names the right place, and whether the usual tolerances on logits would have caught
it. Changes that leave the model the same function, and runs of a correct pair with other weights, must raise no alarm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxdec.errors import UserError, listed, nearest
from jaxdec.parity.certificate.alarms import Alarms, add_alarms
from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.mutants import generic_mutants
from jaxdec.parity.certificate.table import markdown, text
from jaxdec.parity.certificate.trial import MutantTrial, trial, up_to_failure
from jaxdec.parity.check import quiet_torch
from jaxdec.parity.pair import Pair
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides

STEPS = 12  # of the trajectory: a bug in a training loop shows in the second step
LOCATED = 0.95  # the share of bugs that bisecting must name rightly


@dataclass(frozen=True)
class Certificate:
    pair: str
    trials: tuple[MutantTrial, ...]
    alarms: Alarms
    seconds: float

    @cached_property
    def bugs(self) -> list[MutantTrial]:
        return [trial for trial in self.trials if not trial.mutant.reason]

    @cached_property
    def harmless(self) -> list[MutantTrial]:
        return [trial for trial in self.trials if trial.mutant.reason]

    @property
    def faults(self) -> list[str]:
        """What keeps the certificate from being complete, in a few words each: a bug that is not caught, fewer than 95
        of 100 located, an alarm without a bug."""
        missed = [trial.mutant.name for trial in self.bugs if not trial.caught]
        located = sum(trial.located for trial in self.bugs)
        alarmed = [trial.mutant.name for trial in self.harmless if trial.caught]
        faults = []
        if missed:
            faults.append(f"{len(missed)} of {len(self.bugs)} bugs not caught: {listed(missed)}")
        if located < LOCATED * len(self.bugs):
            faults.append(f"{located} of {len(self.bugs)} bugs located, fewer than {LOCATED:.0%}")
        if alarmed:
            faults.append(f"{len(alarmed)} of {len(self.harmless)} harmless changes taken for a bug: {listed(alarmed)}")
        if self.alarms.wrong:
            faults.append(f"{len(self.alarms.wrong)} false alarms in honest runs")
        return faults

    @property
    def complete(self) -> bool:
        return not self.faults

    def summary(self) -> dict[str, Any]:
        """The figures, and a line for each mutant, as JSON has them."""
        return {
            "pair": self.pair,
            "complete": self.complete,
            "faults": self.faults,
            **figures(self.bugs, self.harmless),
            "honest_runs": self.alarms.summary(),
            "seconds": round(self.seconds, 1),
            "mutants": [record(trial) for trial in self.trials],
        }

    def table(self) -> str:
        return markdown(self.trials)

    def __str__(self) -> str:
        return text(self.summary(), self.trials)


def figures(bugs: list[MutantTrial], harmless: list[MutantTrial]) -> dict[str, int]:
    return {
        "bugs": len(bugs),
        "caught": sum(trial.caught for trial in bugs),
        "located": sum(trial.located for trial in bugs),
        "caught_by_allclose": sum(bool(trial.allclose) for trial in bugs),
        "caught_by_kl": sum(bool(trial.kl) for trial in bugs),
        "equivalent": len(harmless),
        "equivalent_caught": sum(trial.caught for trial in harmless),
    }


def record(trial: MutantTrial) -> dict[str, Any]:
    mutant = trial.mutant
    return {
        "name": mutant.name, "about": mutant.about, "pair": mutant.pair, "weight_init": mutant.weight_init,
        "where": mutant.where, "equivalent": mutant.reason, "caught": trial.caught, "stage": trial.stage,
        "first": trial.name, "residual": trial.residual if trial.residual < 1e300 else None, "named": trial.named,
        "located": trial.located, "allclose": trial.allclose, "kl": trial.kl,
    }  # fmt: skip


def certify(pair: Pair, *, only: str | None = None, seeds: int = 0, say: Callable[[str], Any] = print) -> Certificate:
    """Seeds the generic mutants in the pair, one after the other; then runs the pair as it is with `seeds` other seeds.
    `only` is the name of one mutant, or of a kind (before the colon). `say` is told each result.

    Raises UserError where a pair differs already: what is seeded into a difference proves nothing.
    """
    started = time.perf_counter()
    with quiet_torch():
        sides = Sides(pair, STEPS)
        say(f"{pair.name}: comparing without a bug")
        require_equal(sides)
        generic = generic_mutants(sides)
        mutants = chosen(generic, only)
        if not mutants:
            names = [mutant.name for mutant in generic]
            raise UserError(f"there is no mutant '{only}' of {pair.name}{nearest(str(only), names)}")
        trials = seed_each(sides, mutants, say)
        alarms = Alarms(seeds)
        add_alarms(alarms, pair, say=say)
    return Certificate(pair.name, tuple(trials), alarms, time.perf_counter() - started)


def seed_each(sides: Sides, mutants: Sequence[Mutant], say: Callable[[str], Any] = print) -> list[MutantTrial]:
    """Seeds one mutant after the other. Raises UserError where the stage that caught a bug fails without it too."""
    trials: list[MutantTrial] = []
    honest: set[tuple[str, str]] = set()
    for mutant in mutants:
        trials.append(trial(mutant, sides))
        require_honest(sides, trials[-1], honest)
        say(str(trials[-1]))
    return trials


def chosen(mutants: Sequence[Mutant], only: str | None) -> list[Mutant]:
    """Those of one name or kind; None: all."""
    return [mutant for mutant in mutants if only in (None, mutant.name, mutant.name.partition(":")[0])]


def require_equal(sides: Sides) -> None:
    for weight_init in ("init", "generic"):
        wrong = [each for each in up_to_failure(sides, Setting(weight_init)) if not each.equal]
        if wrong:
            raise UserError(
                f"{sides.pair.name} differs without any bug, in {wrong[0].stage} of {wrong[0].name}: mend that first "
                "(jaxdec parity check shows it)"
            )


def require_honest(sides: Sides, done: MutantTrial, honest: set[tuple[str, str]]) -> None:
    """What caught the bug must pass without it. `honest` holds what is known to."""
    key = (done.mutant.weight_init, done.stage)
    if not done.stage or key in honest:
        return
    wrong = [each for each in up_to_failure(sides, Setting(done.mutant.weight_init), [done.stage]) if not each.equal]
    if wrong:
        raise UserError(f"{sides.pair.name} differs without any bug, in {done.stage} of {wrong[0].name}")
    honest.add(key)
