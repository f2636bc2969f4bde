"""Changes to the candidate after which it is run again: an attempt explains the modules that it makes equal.

All modules of the candidate run on the reference's values, so that one run tries a change in every layer, and a
module's residual is its own. The candidate's own code computes the rest: no formula of it is needed here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.hints.changes import changes, head_dims, reordered
from jaxdec.parity.hints.evidence import Evidence, Projections, last, pattern, role_of, stem
from jaxdec.parity.hints.identify import matches_with
from jaxdec.parity.locate.replay import WHOLE, given, owner
from jaxdec.parity.report.report import Hint
from jaxdec.parity.setting import Arrays
from jaxdec.parity.sides.recording import Forward

SECONDS = 4.0  # for all attempts of a check; a large model gets fewer
BIASES = ("bias", "beta", "b")


@dataclass(frozen=True)
class Attempt:
    """`params` and `outputs` (of modules) that take the place of the candidate's; `undo` is applied, by the name of a
    module, to what arrives there before it is compared."""

    seam: str
    text: str  # ends the sentence "matches at 2e-15 with ..."
    params: Arrays = field(default_factory=dict)
    outputs: Arrays = field(default_factory=dict)
    undo: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)


def tried(evidence: Evidence, explained: set[str]) -> list[Hint]:
    """Hints of the attempts that make a faulty module equal; the search ends when all are explained or time is up."""
    hints: list[Hint] = []
    unexplained, started = {name for name in evidence.faults if name not in explained}, perf_counter()
    for attempt in itertools.chain(of_outputs(evidence), of_params(evidence)):
        if not unexplained or perf_counter() - started > SECONDS:
            break
        errors = evidence.errors(run(evidence, attempt))
        for name in [name for name in evidence.faults if name in unexplained]:
            if errors[name] <= tolerances.SEMANTIC.limit:
                hints.append(matches_with(attempt.seam, name, errors[name], attempt.text))
                unexplained.discard(name)
    return hints


def run(evidence: Evidence, attempt: Attempt) -> Forward:
    inputs, outputs = given(evidence.theirs)
    ours = evidence.sides.candidate.replay(evidence.at, inputs, {**outputs, **attempt.outputs}, changed=attempt.params)
    entered: dict[str, Any] = dict(ours.entered)
    for name, undo in attempt.undo.items():
        entered[name] = undo(entered[name])
    return ours._replace(entered=entered)


def of_outputs(evidence: Evidence) -> Iterator[Attempt]:
    """Changes to what tapped projections hand on: the same as other weights in them, whatever these are called."""
    tapped = ([each for each in evidence.inside(name) if each in evidence.names] for name in evidence.faults)
    places = [{role: each for each in inner if (role := role_of(each))} for inner in tapped]
    for seam, text, arrays in changes(evidence.theirs.left, places):
        yield Attempt(seam, text, outputs=arrays)
    yield from grouped(evidence, [roles for roles in places if {"query", "key", "out"} <= set(roles)])


def grouped(evidence: Evidence, places: Projections) -> Iterator[Attempt]:
    """Query heads in the order in which tiled key heads serve them, or repeated ones."""
    for width in head_dims(evidence.theirs.left, places):
        for text in ("tiled", "repeated"):
            outputs, undo = {}, {}
            for roles in places:
                q, k = (evidence.theirs.left[roles[role]] for role in ("query", "key"))
                heads, groups = q.shape[-1] // width, k.shape[-1] // width
                if q.ndim != 3 or heads == groups or groups < 2:
                    continue
                order = np.arange(heads).reshape((-1, groups) if text == "tiled" else (groups, -1)).T.ravel()
                outputs[roles["query"]] = reordered(q, order)
                undo[roles["out"]] = lambda y, order=order: reordered(y, np.argsort(order))
            if outputs:
                yield Attempt("grouped heads", f"key heads {text}, of width {width}", outputs=outputs, undo=undo)


def of_params(evidence: Evidence) -> Iterator[Attempt]:
    """Changes to parameters, alike in all layers: for modules with weights, tapped inside or not."""
    params = {key: evidence.params[key] for key in faulty(evidence)}
    groups: dict[str, list[str]] = {}
    for key in params:
        groups.setdefault(pattern(key), []).append(key)
    for label, keys in groups.items():
        for seam, text, change in of_one(label, params[keys[0]]):
            yield Attempt(seam, f"{label} {text}", params={key: change(params[key]) for key in keys})
    for seam, text, arrays in changes(params, places_of(params)):
        yield Attempt(seam, text, params=arrays)


def faulty(evidence: Evidence) -> list[str]:
    """Parameters of faulty modules, but not those of other tapped ones inside them. A function's taps are at results
    alone: what differs there may have happened in the code around."""
    names = dict.fromkeys(evidence.faults)
    for name in list(names):
        while not evidence.ours.entered and name != WHOLE:
            name = owner(name, evidence.names)
            names[name] = None
    found: dict[str, None] = {}
    for name in names:
        found |= dict.fromkeys(("" if name == WHOLE else name + ".") + key for key in evidence.own_params(name))
    return list(found)


def of_one(label: str, value: np.ndarray) -> Iterator[tuple[str, str, Callable[[np.ndarray], np.ndarray]]]:
    """(seam, text, change) for one parameter of every layer; `value` is that of the first."""
    if value.ndim == 2 and value.shape[0] == value.shape[1]:
        yield "transpose", "transposed", lambda x: x.T
    if value.ndim == 2 and any(word in label for word in ("embed", "wte", "tok")):
        root = value.shape[-1] ** 0.5
        yield "embedding scale", f"times sqrt(width), which is {root:.4g}", lambda x: x * root
        yield "embedding scale", f"divided by sqrt(width), which is {root:.4g}", lambda x: x / root
    if value.ndim == 2 and any(word in label for word in ("pos", "wpe")):
        for rows in (1, -1, 2, -2):
            text = f"read {abs(rows)} row{'s' if abs(rows) > 1 else ''} {'further on' if rows > 0 else 'before'}"
            yield "position shift", text, lambda x, rows=rows: np.roll(x, -rows, axis=0)
    if value.ndim == 1 and last(label) in BIASES:
        yield "bias", "set to zero", np.zeros_like
    if value.ndim == 1 and last(label) not in BIASES:
        yield "norm scale", "plus one", lambda x: x + 1
        yield "norm scale", "minus one", lambda x: x - 1


def places_of(params: Arrays) -> Projections:
    """Parameters by role, together with those that have the same name otherwise."""
    places: dict[str, dict[str, str]] = {}
    for key in params:
        if role := role_of(key) or role_of(key.rpartition(".")[0]):  # its own name's, or that of what it belongs to
            parts = ("*" + part.removeprefix(stem(part)) if role_of(part) == role else part for part in key.split("."))
            places.setdefault(".".join(parts), {})[role] = key
    return list(places.values())
