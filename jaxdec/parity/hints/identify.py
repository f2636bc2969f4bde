"""Which of many formulas reproduces a recorded value, on each side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import distance, norm
from jaxdec.parity.hints.evidence import Two
from jaxdec.parity.report.report import Hint

Options = Mapping[str, Any]


class Match(NamedTuple):
    options: Options
    residual: float


def residual(value: np.ndarray, target: np.ndarray) -> float:
    """|value - target| / |target|."""
    scale = norm(target)
    error = distance(value, target)
    return error / scale if scale else (0.0 if error == 0 else np.inf)


def few_rows(x: np.ndarray) -> np.ndarray:
    """[..., D] -> [N,D], N at most 256: as much as tells two formulas apart that treat every row alike."""
    rows = x.reshape(-1, x.shape[-1])
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 256)).astype(int))]


def every(grid: Mapping[str, Sequence[Any]]) -> Iterable[Options]:
    """All combinations of the values of a grid; the first value of each option is the plain one."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def identify(
    choices: Iterable[Options], compute: Callable[..., np.ndarray | None], targets: Two
) -> tuple[Match | None, Match | None]:
    """For each side the choice that comes nearest to its value, if under the tolerance. `compute` returns None for
    options that make no sense together. Of equally near ones, the first."""
    best: list[Match | None] = [None, None]
    for options in choices:
        value = compute(**options)
        if value is not None:
            best = [nearer(held, options, value, target) for held, target in zip(best, targets, strict=True)]
    return best[0], best[1]


def nearer(held: Match | None, options: Options, value: np.ndarray, target: np.ndarray) -> Match | None:
    """The better of a match and a new value, which must come within the tolerance and clearly nearer."""
    error = residual(value, target)
    if error <= tolerances.SEMANTIC.limit and (held is None or 10 * error + 1e-15 < held.residual):
        return Match(options, error)
    return held


def matches_with(seam: str, where: str, error: float, change: str) -> Hint:
    """A hint on what makes the candidate's value the reference's."""
    return Hint(seam, where, error, f"matches at {size(error)} with {change}")


def size(error: float) -> str:
    return f"{error:.0e}" if error else "0"


def compared(
    where: str,
    what: str,
    found: tuple[Match | None, Match | None],
    seams: Mapping[str, str],
    phrase: Callable[[str, Any], str],
) -> list[Hint]:
    """A hint where both sides are known and differ: the seam is that of the first option, in the order of `seams`, in
    which they do. `phrase` says an option's value."""
    theirs, ours = found
    if theirs is None or ours is None:
        return []
    differing = [name for name in seams if theirs.options[name] != ours.options[name]]
    if not differing:
        return []
    says = [
        f"{', '.join(phrase(name, match.options[name]) for name in differing)} ({size(match.residual)})"
        for match in (theirs, ours)
    ]
    text = f"{what} of the reference: {says[0]}; of the candidate: {says[1]}"
    return [Hint(seams[differing[0]], where, max(theirs.residual, ours.residual), text)]
