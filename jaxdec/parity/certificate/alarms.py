"""False alarms: what the float64 check reports for pairs without a bug, over many seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxdec.parity.certificate.memory import free_programs
from jaxdec.parity.compare.comparison import Comparison, Difference
from jaxdec.parity.pair import Pair
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, stages_of

STEPS = 20  # of the trajectory


@dataclass
class Alarms:
    """comparisons: how many were made; wrong: those over their tolerance, with the pair and the seed.
    same: names whose pair is that of another name, and was compared once."""

    seeds: int
    comparisons: int = 0
    pairs: list[str] = field(default_factory=list)
    wrong: list[tuple[str, int, Comparison]] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        made = f"{self.comparisons:,} comparisons of {len(self.pairs)} pairs, {self.seeds} seeds each"
        lines = [f"{len(self.wrong)} false alarms in {made}: {', '.join(self.pairs)}"]
        lines += [f"  at reduced size {name} is {other}" for name, other in self.same.items()]
        lines += [f"  {pair}, seed {seed}: {comparison}" for pair, seed, comparison in self.wrong[:20]]
        return "\n".join(lines)

    def summary(self) -> dict[str, Any]:
        wrong = [f"{pair}, seed {seed}: {comparison}" for pair, seed, comparison in self.wrong]
        return {
            "seeds": self.seeds, "pairs": self.pairs, "same": self.same, "comparisons": self.comparisons,
            "false_alarms": len(wrong), "wrong": wrong,
        }  # fmt: skip


def false_alarms(
    names: Iterable[str] | None = None, seeds: int = 50, steps: int = STEPS, say: Callable[[str], Any] = print
) -> Alarms:
    """Every float64 stage of the named pairs (None: all rungs of the ladder) with both kinds of weights."""
    from jaxdec.models.ladder import LADDER
    from jaxdec.parity.spec import load_pair

    alarms, runs = Alarms(seeds), {}
    for name in [rung.name for rung in LADDER] if names is None else names:
        pair = load_pair(name)
        key = model_of(pair)
        if key in runs:
            alarms.same[name] = runs[key]
            say(f"{name}: at reduced size the model is that of {runs[key]}")
            continue
        runs[key] = name
        add_alarms(alarms, pair, steps, say)
        free_programs()
    return alarms


def add_alarms(alarms: Alarms, pair: Pair, steps: int = STEPS, say: Callable[[str], Any] = print) -> None:
    """One pair, whose programs are compiled once for all seeds."""
    sides = Sides(pair, steps)
    alarms.pairs.append(pair.name)
    for seed in range(alarms.seeds):
        before = len(alarms.wrong)
        for weight_init in ("init", "generic"):
            at = Setting(weight_init, "float64", seed)
            found = all_stages(sides, at)
            alarms.comparisons += len(found)
            alarms.wrong += [(pair.name, seed, each) for each in found if not each.equal]
            sides.candidate.forget(at)
            sides.transfer.forget(at)
        raised = len(alarms.wrong) - before
        say(f"{pair.name}, seed {seed}: {f'{raised} FALSE ALARMS' if raised else 'no alarm'}")


def all_stages(sides: Sides, at: Setting) -> Sequence[Comparison]:
    found: list[Comparison] = []
    for stage in stages_of(sides.pair).values():
        try:
            found += stage(sides, at)
        except Difference as difference:
            found += difference.comparisons
    return found


def model_of(pair: Pair) -> str:
    """Equal for pairs of ours that are the same model at reduced size."""
    twin = getattr(pair.reference.model, "__self__", None)
    return pair.name if twin is None else str(twin.run.config)
