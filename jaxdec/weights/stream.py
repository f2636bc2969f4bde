"""Weights carried over one tensor at a time, so that no more than one is held beside what receives them.

`WeightPlan.to_candidate` and `to_reference` do the same for whole models at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jaxdec.errors import UserError
from jaxdec.weights.entries import Entry
from jaxdec.weights.ops import OpError, carry, place
from jaxdec.weights.plan import WeightPlan
from jaxdec.weights.rules import WeightRules


class Readable(Protocol):
    """A tensor in a file."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def read(self) -> np.ndarray: ...


def our_tensors(
    rules: str, tensors: Mapping[str, Readable], expected: Mapping[str, Any], source: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and array of each of our parameters, dtypes kept, one after the other; `expected` has our names and shapes.

    Before the first is read, UserError lists every name of `source` that is missing, left over or misshapen.
    """
    plan = WeightRules.parse(rules).plan(expected, {name: tensor.shape for name, tensor in tensors.items()})
    require_names(plan, source)
    return ((entry.name, _carried(plan, entry, tensors)) for entry in plan.entries)


def require_names(plan: WeightPlan, source: str) -> None:
    """UserError with all that is wrong with names and shapes. Without the ids of elements that `WeightPlan.problems`
    counts, which take as much memory as the model."""
    problems = [problem.text for problem in (*plan.missing, *plan.unused)]
    used = {name for entry in (*plan.entries, *plan.left_out) for name in entry.sources}
    problems += [f"{name} {shape} goes nowhere" for name, shape in plan.reference_shapes.items() if name not in used]
    for entry in plan.entries:
        given = plan.reference_shapes[entry.sources[0]]
        try:
            made = plan.made_shape(entry)
        except OpError as error:
            problems.append(f"{entry.sources[0]} {given}: {error}")
            continue
        if made != entry.shape:
            problems.append(f"{entry.sources[0]} {given} makes {entry.name} {made} where the config has {entry.shape}")
    if problems:
        raise UserError(f"{source} does not fit its config: " + "; ".join(problems))


@dataclass(frozen=True)
class Outgoing:
    """A tensor as another format names and shapes it, made of our parameters when it is asked for."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    entries: tuple[Entry, ...]
    params: Mapping[str, Any]

    def read(self) -> np.ndarray:
        whole = np.zeros(self.shape, self.dtype)
        for entry in self.entries:
            place(entry.rule.ops, np.asarray(self.params[entry.name]), whole)
        return whole


def their_tensors(rules: str, params: Mapping[str, Any]) -> dict[str, Outgoing]:
    """The tensors that a rule table makes of our flat parameters, dtypes kept, each made when it is read.

    Parts that no parameter fills are zero. Rules that stack tensors are not supported. Raises UserError where no rule
    matches a parameter.
    """
    table = WeightRules.parse(rules)
    shapes = table.reference_shapes(params)
    entries: dict[str, list[Entry]] = {}
    for entry in table.plan(params, shapes).entries:
        assert not entry.stacked, f"{entry.rule} stacks tensors"
        entries.setdefault(entry.sources[0], []).append(entry)
    return {
        name: Outgoing(name, shapes[name], np.dtype(params[parts[0].name].dtype), tuple(parts), params)
        for name, parts in entries.items()
    }


def _carried(plan: WeightPlan, entry: Entry, tensors: Mapping[str, Readable]) -> np.ndarray:
    return carry(entry.rule.ops, plan.source(entry, lambda name: tensors[name].read()))
