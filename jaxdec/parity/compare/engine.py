"""Two recordings of a stage compared: which tolerance holds for what, in every precision.

In float64 the question is whether two sides are the same function: relative differences. In low precision a difference
says nothing by itself: the reference in float64 is the oracle, and the candidate's error against it is measured in the
reference's own error at the same precision. `check` compares what it has in memory, `compare` what dumps hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import (
    Comparison,
    aligned,
    gradient_scales,
    norm,
    relative,
    relative_to_all,
    rounding_ratio,
)
from jaxdec.parity.compare.null import Masks, compare_gradients, compare_updates, without_null
from jaxdec.parity.compare.ties import excused
from jaxdec.parity.setting import Arrays, PrecisionName, WeightInit


class Recorded(NamedTuple):
    """The same quantity on both sides and on the oracle, which is the reference in float64; in float64 it is the
    reference itself."""

    candidate: Any
    reference: Any
    oracle: Any

    def each(self, change: Callable[[Any], Any]) -> Recorded:
        return Recorded(*map(change, self))


@dataclass(frozen=True, eq=False)
class Terms:
    """What decides which tolerance holds.

    null, noise: elements of parameters that cannot change the output, and whose updates rounding decides.
    routed: whether there are routers, so that rounding may send a token to another expert.
    tie: the first router at which it did, from where on no ratio says anything.
    """

    weight_init: WeightInit
    precision: PrecisionName
    null: Masks = field(default_factory=dict)
    noise: Masks = field(default_factory=dict)
    routed: bool = False
    tie: str | None = None

    @property
    def exact(self) -> bool:
        return self.precision == "float64"


def copies(stage: str, recorded: Recorded, terms: Terms) -> list[Comparison]:
    """What was carried or stored is the same in every bit."""
    return relative(stage, recorded.candidate, recorded.reference, tolerances.EXACT)


def tokens(stage: str, recorded: Recorded, terms: Terms) -> list[Comparison]:
    """How many token ids differ."""
    ours, theirs, _ = recorded
    return [Comparison(stage, name, _different(ours[name], true), 0.0) for name, true in theirs.items()]


def values(stage: str, recorded: Recorded, terms: Terms) -> list[Comparison]:
    """Activations and logits. A side may have flattened batch and time: it is read in the oracle's shape."""
    true = recorded.oracle
    ours, theirs, _ = recorded.each(lambda side: {name: aligned(side[name], true[name]) for name in true})
    if terms.exact:
        return relative(stage, ours, true, tolerances.SEMANTIC)
    found = _ratio(stage, Recorded(ours, theirs, true), {name: norm(value) for name, value in true.items()}, terms)
    return excused(found, terms.tie)


def gradients(stage: str, recorded: Recorded, terms: Terms) -> list[Comparison]:
    """The loss's derivative by every parameter; null directions count by their size alone."""
    if terms.exact:
        return compare_gradients(stage, recorded.candidate, recorded.reference, terms.null)
    left = recorded.each(lambda side: without_null(side, terms.null))
    scales = gradient_scales(left.oracle) if left.oracle else {}
    return excused(_ratio(stage, left, scales, terms), terms.tie)


def losses(stage: str, recorded: Recorded, terms: Terms) -> list[Comparison]:
    """Numbers by name, such as the loss of each step.

    In low precision an absolute tolerance holds where the reference itself keeps it. Elsewhere (generic weights are
    large beside their updates, a token may change its expert) all are one vector, measured in the reference's error.
    """
    if terms.exact:
        return relative(stage, recorded.candidate, recorded.reference, tolerances.SEMANTIC)
    ours, theirs, true = recorded
    drift, _ = tolerances.drift(terms.precision, routed=terms.routed)
    if terms.weight_init == "init" and all(each.equal for each in relative(stage, theirs, true, drift)):
        return relative(stage, ours, true, drift)
    name = "all losses" if len(true) > 1 else next(iter(true))
    whole = recorded.each(lambda side: {name: np.array([side[each] for each in true], np.float64)})
    return _ratio(stage, whole, {name: norm(whole.oracle[name])}, terms)


def updates(
    stage: str, recorded: Recorded, terms: Terms, label: str = "", *, training: bool = False
) -> list[Comparison]:
    """How far each parameter has moved; `label` ends the names.

    In low precision all are one vector, since single small tensors are mostly noise; `training` allows for the drift of
    a run whose gradients were its own, if the reference keeps to it.
    """
    if terms.exact:
        return compare_updates(stage, recorded.candidate, recorded.reference, terms.null, terms.noise, label)
    ours, theirs, true = recorded.each(lambda side: without_null(side, terms.null))
    _, drift = tolerances.drift(terms.precision, routed=terms.routed)
    name = f"all parameters{label}"
    if training and terms.weight_init == "init" and relative_to_all(stage, theirs, true, drift).equal:
        return [relative_to_all(stage, ours, true, drift, name=name)]
    return [relative_to_all(stage, ours, true, tolerances.ratio(terms.precision), in_errors_of=theirs, name=name)]


COMPARE: Mapping[str, Callable[[str, Recorded, Terms], list[Comparison]]] = {
    "weights": copies,
    "checkpoint": copies,
    "taps": values,
    "logits": values,
    "loss": losses,
    "losses": losses,
    "gradients": gradients,
    "optimizer": updates,
    "updates": updates,
    "greedy": tokens,
}


def _ratio(stage: str, recorded: Recorded, scales: Mapping[str, float], terms: Terms) -> list[Comparison]:
    roundoff, most = tolerances.UNIT_ROUNDOFF[terms.precision], tolerances.ratio(terms.precision)
    return rounding_ratio(stage, *recorded, scales, roundoff, most)


def _different(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours != theirs).sum()) if ours.shape == theirs.shape else float(max(ours.size, theirs.size, 1))


def by_step(runs: Mapping[str, Any]) -> Arrays:
    """The losses of runs as a number for each step: "loss of step 3"."""
    return {f"{name} of step {step}": at for name, run in runs.items() for step, at in enumerate(np.atleast_1d(run))}
