"""The sensitivity certificate: what the check of a pair is worth, measured by seeded bugs.

A tolerance that no bug fails proves nothing. `certify` seeds one bug after the other and notes whether the float64
stages catch it, whether bisecting names the right place, and whether the usual tolerances on logits would have caught
it; changes that are none, and honest runs with other weights, must raise no alarm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxdec.errors import UserError, nearest
from jaxdec.parity.certificate.alarms import Alarms, add_alarms
from jaxdec.parity.certificate.memory import free_programs
from jaxdec.parity.certificate.registry import Mutant
from jaxdec.parity.certificate.table import markdown, text
from jaxdec.parity.certificate.trial import Trial, trial, up_to_failure
from jaxdec.parity.pair import Pair
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides

STEPS = 12  # of the trajectory: a bug in a training loop shows in the second step
LOCATED = 0.95  # the share of bugs that bisecting must name rightly


@dataclass(frozen=True)
class Certificate:
    pair: str
    trials: tuple[Trial, ...]
    alarms: Alarms
    seconds: float

    @cached_property
    def bugs(self) -> list[Trial]:
        return [trial for trial in self.trials if not trial.mutant.reason]

    @cached_property
    def harmless(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.mutant.reason]

    @property
    def complete(self) -> bool:
        """Every bug caught, at least 95 of 100 located, no alarm without a bug."""
        located = sum(trial.located for trial in self.bugs)
        return (
            all(trial.right for trial in self.trials) and located >= LOCATED * len(self.bugs) and not self.alarms.wrong
        )

    def summary(self) -> dict[str, Any]:
        """The figures, and a line for each mutant, as JSON has them."""
        return {
            "pair": self.pair,
            "complete": self.complete,
            **figures(self.bugs, self.harmless),
            "honest_runs": self.alarms.summary(),
            "seconds": round(self.seconds, 1),
            "mutants": [record(trial) for trial in self.trials],
        }

    def table(self) -> str:
        return markdown(self.trials)

    def __str__(self) -> str:
        return text(self.summary(), self.trials)


def figures(bugs: list[Trial], harmless: list[Trial]) -> dict[str, int]:
    return {
        "bugs": len(bugs),
        "caught": sum(trial.caught for trial in bugs),
        "located": sum(trial.located for trial in bugs),
        "caught_by_allclose": sum(bool(trial.allclose) for trial in bugs),
        "caught_by_kl": sum(bool(trial.kl) for trial in bugs),
        "equivalent": len(harmless),
        "equivalent_caught": sum(trial.caught for trial in harmless),
    }


def record(trial: Trial) -> dict[str, Any]:
    mutant = trial.mutant
    return {
        "name": mutant.name, "about": mutant.about, "pair": mutant.pair, "weight_init": mutant.weight_init,
        "where": mutant.where, "equivalent": mutant.reason, "caught": trial.caught, "stage": trial.stage,
        "first": trial.name, "residual": trial.residual if trial.residual < 1e300 else None, "named": trial.named,
        "located": trial.located, "allclose": trial.allclose, "kl": trial.kl,
    }  # fmt: skip


def certify(pair: Pair, *, only: str | None = None, seeds: int = 0, say: Callable[[str], Any] = print) -> Certificate:
    """Seeds the generic mutants in the pair and, if it is one of ours, every mutant of ours in its tiny pair; then runs
    the pair as it is with `seeds` other seeds. `only` is the name of one mutant, or of a kind (before the colon).

    Raises UserError where a pair differs already: what is seeded into a difference proves nothing.
    """
    from jaxdec.parity.check import quiet_torch

    started, trials = time.perf_counter(), []
    with quiet_torch():
        for sides, mutants in groups(pair, only, say):
            honest: set[tuple[str, str]] = set()
            for mutant in mutants:
                trials.append(trial(mutant, sides))
                require_honest(sides, trials[-1], honest)
                say(str(trials[-1]))
        alarms = Alarms(seeds)
        add_alarms(alarms, pair, say=say)
    return Certificate(pair.name, tuple(trials), alarms, time.perf_counter() - started)


def groups(pair: Pair, only: str | None, say: Callable[[str], Any]) -> Iterator[tuple[Sides, list[Mutant]]]:
    """Pairs with the mutants that are seeded in them. The programs of one are dropped before the next."""
    from jaxdec.parity.certificate.mutants import generic_mutants

    ours = own_mutants() if is_ours(pair) else []
    wanted, known = chosen(ours, only), [mutant.name for mutant in ours]
    if only is None or not wanted:
        sides = Sides(pair, STEPS)
        say(f"{pair.name}: comparing without a bug")
        require_equal(sides)
        generic = generic_mutants(sides)
        known += [mutant.name for mutant in generic]
        mutants = chosen(generic, only)
        if not mutants and not wanted:
            raise UserError(f"there is no mutant '{only}' of {pair.name}{nearest(str(only), known)}")
        yield sides, mutants
        del sides
        free_programs()
    for name in dict.fromkeys(mutant.pair for mutant in wanted):
        from parity_tests.mutants.tiny import tiny_pair

        yield Sides(tiny_pair(name), STEPS), [mutant for mutant in wanted if mutant.pair == name]
        free_programs()


def own_mutants() -> list[Mutant]:
    from parity_tests.mutants import EQUIVALENT, MUTANTS

    return [*MUTANTS, *EQUIVALENT]


def is_ours(pair: Pair) -> bool:
    """Whether the reference is `torchref`, whose code our mutants patch."""
    model = getattr(pair.reference.model, "__self__", None)
    return type(model).__module__ == "jaxdec.parity.pairs.torch_twin"


def chosen(mutants: list[Mutant], only: str | None) -> list[Mutant]:
    return [mutant for mutant in mutants if only in (None, mutant.name, mutant.name.partition(":")[0])]


def require_equal(sides: Sides) -> None:
    for weight_init in ("init", "generic"):
        wrong = [each for each in up_to_failure(sides, Setting(weight_init)) if not each.equal]
        if wrong:
            raise UserError(
                f"{sides.pair.name} differs without any bug, in {wrong[0].stage} of {wrong[0].name}: mend that first "
                "(jaxdec parity check shows it)"
            )


def require_honest(sides: Sides, done: Trial, honest: set[tuple[str, str]]) -> None:
    """What caught the bug must pass without it. `honest` holds what is known to."""
    key = (done.mutant.weight_init, done.stage)
    if not done.stage or key in honest:
        return
    wrong = [each for each in up_to_failure(sides, Setting(done.mutant.weight_init), [done.stage]) if not each.equal]
    if wrong:
        raise UserError(f"{sides.pair.name} differs without any bug, in {done.stage} of {wrong[0].name}")
    honest.add(key)
