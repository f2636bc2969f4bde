"""What a check found, as plain data: the terminal, the HTML page and the JSON file show the same report."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxdec.errors import UserError
from jaxdec.parity.compare.comparison import Comparison

FORMAT = 2  # of the JSON file; another layout gets another number
NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # JSON itself has no words for these


@dataclass(frozen=True)
class Finding:
    """A fault by name. `where` is a module's path, a parameter, or a component: "loss", "optimizer", "schedule" ..."""

    kind: Literal["semantic", "rounding", "precision", "tie", "null direction", "not finite"]
    direction: Literal["weights", "forward", "backward", "time", "component"]
    where: str
    measured: float
    limit: float
    text: str

    @property
    def sentence(self) -> str:
        """The text without the place, where it begins with it: a reader has just read that."""
        return self.text.removeprefix(f"{self.where}: ")


@dataclass(frozen=True)
class Hint:
    """A known seam that explains the difference: with it both sides agree up to `residual`."""

    seam: str
    where: str
    residual: float
    text: str


@dataclass(frozen=True)
class Report:
    """Comparisons in the order of execution, taps among them in the order of depth.

    `notes` are what a reader must know: null directions by name, stages left out and why, reduced sizes. `curves` hold
    a value per training step: "candidate loss", "reference loss" (nats) and "loss difference" (relative).
    """

    pair: str
    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...] = ()
    hints: tuple[Hint, ...] = ()
    notes: tuple[str, ...] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        """False also when nothing was compared: that would prove nothing."""
        return bool(self.comparisons) and all(comparison.equal for comparison in self.comparisons)

    @property
    def over(self) -> tuple[Comparison, ...]:
        """The comparisons over their tolerances."""
        return tuple(comparison for comparison in self.comparisons if not comparison.equal)


@dataclass(frozen=True)
class Group:
    """The comparisons of one stage with one kind of weights in one precision: a line of the table."""

    stage: str
    weight_init: str
    precision: str
    comparisons: tuple[Comparison, ...]

    @property
    def equal(self) -> bool:
        return all(comparison.equal for comparison in self.comparisons)

    @property
    def worst(self) -> Comparison:
        """The one with the least headroom."""
        return min(self.comparisons, key=headroom)

    @property
    def over(self) -> tuple[Comparison, ...]:
        return tuple(comparison for comparison in self.comparisons if not comparison.equal)

    @property
    def setting(self) -> str:
        """`float64, generic weights`."""
        return setting(self.precision, self.weight_init)


def setting(precision: str, weight_init: str) -> str:
    return f"{precision}, {weight_init} weights" if weight_init else precision


def groups(comparisons: Sequence[Comparison]) -> list[Group]:
    """A group per setting and stage; settings, and stages within a setting, in the order of their first comparison."""
    by_setting: dict[tuple[str, str], dict[str, list[Comparison]]] = {}
    for comparison in comparisons:
        stages = by_setting.setdefault((comparison.weight_init, comparison.precision), {})
        stages.setdefault(comparison.stage, []).append(comparison)
    return [Group(stage, *key, tuple(found)) for key, stages in by_setting.items() for stage, found in stages.items()]


def headroom(comparison: Comparison) -> float:
    """Decades between what was measured and its tolerance: 2 is a hundred times below. Infinite for an exact match,
    minus infinity for NaN and for whatever is not zero where zero is asked for."""
    if math.isnan(comparison.measured):
        return -math.inf
    if comparison.measured <= 0:
        return math.inf
    if comparison.limit <= 0 or math.isinf(comparison.measured):
        return -math.inf
    return math.log10(comparison.limit) - math.log10(comparison.measured)


def figure(value: float) -> str:
    """Two digits and an exponent, or three digits where no exponent is needed.

    >>> figure(3.2e-4), figure(2.118), figure(0.0), figure(1e-11)
    ('3.2e-04', '2.12', '0', '1e-11')
    """
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    if 0.01 <= abs(value) < 10_000:
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:.1e}".replace(".0e", "e")


def decades(value: float) -> str:
    """Headroom for people: "+3.7", "exact" where nothing differs, "-inf" where no tolerance would do."""
    return "exact" if value == math.inf else f"{value:+.1f}"


def summary(report: Report) -> dict[str, Any]:
    """The report in short: what `--json` prints. Every number in it is JSON's own."""
    lines = [
        {
            "stage": group.stage,
            "weight_init": group.weight_init,
            "precision": group.precision,
            "compared": len(group.comparisons),
            "over": len(group.over),
            "worst": group.worst.name,
            "measured": group.worst.measured,
            "limit": group.worst.limit,
            "headroom": headroom(group.worst),
            "equal": group.equal,
        }
        for group in groups(report.comparisons)
    ]
    return strict(
        {
            "pair": report.pair,
            "equal": report.equal,
            "compared": len(report.comparisons),
            "over": len(report.over),
            "stages": lines,
            "findings": [vars(finding) for finding in report.findings],
            "hints": [vars(hint) for hint in report.hints],
            "notes": list(report.notes),
            "seconds": report.seconds,
        }
    )


def to_json(report: Report) -> str:
    """Everything in the report, one comparison a line; NaN and the infinities as the texts of `NUMBERS`."""
    plain = strict({"format": FORMAT, "equal": report.equal, **dataclasses.asdict(report)})
    comparisons = ",\n".join("  " + json.dumps(comparison) for comparison in plain.pop("comparisons"))
    head = ",\n ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in plain.items())
    return f'{{{head},\n "comparisons": [\n{comparisons}\n]}}\n'


def from_json(text: str, source: str = "the report") -> Report:
    """The report that `to_json` wrote. Raises UserError, calling it `source`, when the text is not a report."""
    try:
        plain = json.loads(text)
        if plain["format"] != FORMAT:
            raise UserError(f"{source} has the format {plain['format']}, this version reads {FORMAT}: make it again")
        return Report(
            plain["pair"],
            tuple(_build(Comparison, each) for each in plain["comparisons"]),
            tuple(_build(Finding, each) for each in plain["findings"]),
            tuple(_build(Hint, each) for each in plain["hints"]),
            tuple(plain["notes"]),
            {name: [_number(value) for value in values] for name, values in plain["curves"].items()},
            plain["environment"],
            _number(plain["seconds"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{source} is no report of a parity check ({type(error).__name__}: {error})") from None


def strict(value: Any) -> Any:
    """Plain data with numbers of Python alone: those of numpy converted, NaN and the infinities as texts."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if hasattr(value, "tolist"):
        return strict(value.tolist())
    if isinstance(value, Sequence):
        return [strict(item) for item in value]
    value = float(value)
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _build(cls: type, plain: Mapping[str, Any]) -> Any:
    numbers = {each.name for each in dataclasses.fields(cls) if each.type == "float"}
    return cls(**{name: _number(value) if name in numbers else value for name, value in plain.items()})


def _number(value: Any) -> float:
    return NUMBERS[value] if isinstance(value, str) else float(value)
