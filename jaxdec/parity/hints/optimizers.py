"""Which optimizer each side is: the options of `adam` that reproduce its updates, and the decay that is left."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.hints.adam import PLAIN, Given, directions
from jaxdec.parity.hints.identify import Match, compared, residual
from jaxdec.parity.hints.schedules import schedules
from jaxdec.parity.hints.updates import Fit, Sampled, fit, observed
from jaxdec.parity.report.report import Hint
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import STEPS, Sides

SETS = 5  # what a structure is found from
LARGEST = 5_000_000  # parameters for which a hundred updates are made to find a schedule
BETAS = ((0.9, 0.999), (0.9, 0.99), (0.9, 0.95), (0.9, 0.98), (0.999, 0.9), (0.99, 0.9), (0.95, 0.9), (0.95, 0.95))
CLIPS = (
    None,
    *itertools.product(("all gradients", "each tensor"), (1.0, 0.5, 2.0, 0.1), (1e-6, 0.0)),
)
TWINS = ("before correction", "without correction")  # they differ in the rate alone
RARE = {
    "form": ("inside the root", "before correction", "without correction", "Nesterov"),
    "coupled": tuple((decay, of) for decay in (0.1, 0.01, 1e-4) for of in ("all", "matrices")),
    "epsilon": (1e-6, 1e-5, 1e-7, 1e-10, 1e-15, 0.0),
}
SEAMS = {
    "form": "Adam epsilon",
    "epsilon": "Adam epsilon",
    "betas": "Adam betas",
    "clip": "clip",
    "coupled": "decay coupling",
    "decay set": "decay set",
    "decay": "decay size",
    "decay scaled": "decay size",
}


def optimizers(sides: Sides, at: Setting) -> list[Hint]:
    """Hints on the update rule; if both sides follow the same, on their learning rates."""
    sampled = observed(sides, at, SETS)
    theirs, ours = (recognised(given, updates) for given, updates in zip(sampled.given, sampled.updates, strict=True))
    if theirs is None or ours is None:
        return []
    hints = difference(sampled, [theirs, ours])
    if hints or sum(math.prod(shape.shape) for shape in sides.transfer.shapes.values()) > LARGEST:
        return hints
    longer = observed(sides, at, max(sides.steps, STEPS) + 10)
    rates = (whole(*each) for each in zip(longer.given, (theirs, ours), longer.updates, strict=True))
    return schedules(*rates)


def difference(sampled: Sampled, options: list[dict[str, Any]]) -> list[Hint]:
    """A hint where the sides follow different rules, whatever their rates."""
    fits = [whole(sampled.given[side], options[side], sampled.updates[side]) for side in range(2)]
    for side in range(2):
        if options[side]["form"] in TWINS:
            given, updates = sampled.given[side], sampled.updates[side]
            options[side], fits[side] = likelier(given, options[side], updates, fits[1 - side].rates)
    theirs, ours = (
        Match({**options[side], **decay_of(sampled.names, sampled.given[side], fits[side])}, fits[side].residual)
        for side in range(2)
    )
    if max(theirs.residual, ours.residual) > tolerances.SEMANTIC.limit:
        return []
    return compared("optimizer", "the optimizer", (theirs, ours), seams(theirs, ours), phrase)


def whole(given: Given, options: dict[str, Any], updates: np.ndarray) -> Fit:
    return fit(given, directions(given, options), updates)


def likelier(
    given: Given, options: dict[str, Any], updates: np.ndarray, rates: np.ndarray
) -> tuple[dict[str, Any], Fit]:
    """Of two forms that differ in the rate alone, the one with the other side's rates."""
    both = [({**options, "form": form}, whole(given, {**options, "form": form}, updates)) for form in TWINS]
    return min(both, key=lambda each: residual(each[1].rates, rates))


def recognised(given: Given, updates: np.ndarray) -> dict[str, Any] | None:
    """The first options that leave nothing of the updates."""
    for options in choices():
        if fit(given, directions(given, options), updates).residual <= tolerances.SEMANTIC.limit:
            return options
    return None


def choices() -> Iterator[dict[str, Any]]:
    """All betas and clips, with at most one rare option."""
    usual = [{**PLAIN, "betas": betas, "clip": clip} for clip, betas in itertools.product(CLIPS, BETAS)]
    yield from usual
    for option, values in RARE.items():
        for value, base in itertools.product(values, usual):
            yield {**base, option: value}


def decay_of(names: list[str], given: Given, fitted: Fit) -> dict[str, Any]:
    """What the fitted decays come to: how much, of what, and whether the schedule scales it."""
    moving = np.abs(fitted.rates) > 1e-6 * np.abs(fitted.rates).max()  # a warm-up may start from zero
    scaled = fitted.decays[moving] / fitted.rates[moving, None]
    typical = np.median(scaled, axis=0)
    members = typical > 1e-7
    if not members.any():
        return {"decay": 0.0, "decay set": "nothing", "decay scaled": True}
    steady, plain = (values[:, members] for values in (scaled, fitted.decays[moving]))
    follows = spread(steady) <= max(spread(plain), 1e-6)
    size = float(np.median(steady if follows else plain))
    return {"decay": float(f"{size:.6g}"), "decay set": set_of(names, given, members), "decay scaled": bool(follows)}


def spread(values: np.ndarray) -> float:
    """Of values that should be one."""
    return float(np.ptp(values) / np.abs(values).mean())


def set_of(names: list[str], given: Given, members: np.ndarray) -> str:
    tables = np.array(["embed" in name or name.rpartition(".")[0].endswith(("wte", "wpe")) for name in names])
    for label, expected in (
        ("all parameters", np.ones_like(members)),
        ("matrices", given.matrices),
        ("matrices but embeddings", given.matrices & ~tables),
    ):
        if np.array_equal(members, expected):
            return label
    return f"{members.sum()} of {len(names)} tensors"


def seams(theirs: Match, ours: Match) -> dict[str, str]:
    """An option whose values tell more than one seam apart gets the right one."""
    chosen = dict(SEAMS)
    if "without correction" in (theirs.options["form"], ours.options["form"]):
        chosen["form"] = "Adam correction"
    a, b = theirs.options["clip"], ours.options["clip"]
    if a and b and a[:2] == b[:2]:
        chosen["clip"] = "clip epsilon"
    return chosen


def phrase(option: str, value: Any) -> str:
    if option == "clip":
        return "no clip" if value is None else f"clip by the norm of {value[0]} + {value[2]:g} to {value[1]:g}"
    if option == "betas":
        return f"betas {value[0]:g} and {value[1]:g}"
    if option == "coupled":
        return "decay apart from the gradient" if value is None else f"decay {value[0]:g} in the gradient of {value[1]}"
    if option == "decay scaled":
        return "decay times the rate" if value else "decay whatever the rate"
    if option == "decay set":
        return f"decay of {value}"
    return f"decay {value:g}" if option == "decay" else f"epsilon {value}"
