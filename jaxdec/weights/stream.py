"""Weights carried over one tensor at a time, so that no more than one is held beside what receives them.

`WeightPlan.to_candidate` and `to_reference` do the same for whole models at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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
    @property
    def dtype(self) -> str: ...
    def read(self) -> np.ndarray: ...


def our_tensors(
    rules: str, tensors: Mapping[str, Readable], expected: Mapping[str, Any], source: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and array of each of our parameters, dtypes kept, one after the other; `expected` has our names and shapes.

    Before the first is read, UserError lists every name of `source` that is missing, left over or misshapen.
    """
    return ((name, each.read()) for name, each in our_arrays(rules, tensors, expected, source).items())


@dataclass(frozen=True)
class LazyArray:
    """One of our parameters, made when it is asked for, by `read` or as numpy asks for arrays."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.read()
        return array if dtype is None else array.astype(dtype)

    def then(self, change: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...] | None = None) -> LazyArray:
        """The array after a change, which may give it another shape."""
        return LazyArray(shape or self.shape, self.dtype, lambda: change(self.read()))

    def astype(self, dtype: Any) -> LazyArray:
        """The array in another dtype."""
        return LazyArray(self.shape, np.dtype(dtype), lambda: np.asarray(self.read()).astype(dtype, copy=False))


def our_arrays(
    rules: str, tensors: Mapping[str, Readable], expected: Mapping[str, Any], source: str
) -> dict[str, LazyArray]:
    """Each of our parameters by name, not read yet. Raises UserError as `our_tensors` does."""
    plan = WeightRules.parse(rules).plan(expected, {name: tensor.shape for name, tensor in tensors.items()})
    require_names(plan, source)
    return {
        entry.name: LazyArray(
            entry.shape, np.dtype(tensors[entry.sources[0]].dtype), partial(_carried, plan, entry, tensors)
        )
        for entry in plan.entries
    }


def require_names(plan: WeightPlan, source: str) -> None:
    """UserError with all that is wrong with names and shapes, a line each. Without the ids of elements that
    `WeightPlan.problems` counts, which take as much memory as the model: elements are counted instead."""
    missing = [f"missing: {problem.text}" for problem in plan.missing]
    used: dict[str, int] = dict.fromkeys(plan.reference_shapes, 0)
    misshapen = []
    for entry in (*plan.entries, *plan.left_out):
        given = plan.reference_shapes[entry.sources[0]]
        try:
            made = plan.made_shape(entry)
        except OpError as error:
            made, why = None, str(error)
        else:
            why = f"it makes {made} where the config has {entry.shape}"
        if made is None or (entry.name != "-" and made != entry.shape):
            misshapen.append(f"misshapen: {entry.sources[0]} {given}, for {entry.name}: {why}")
        for name in entry.sources:
            used[name] += math.prod(plan.reference_shapes[name] if made is None else made) // len(entry.sources)
    left_over = [f"left over: {name} {plan.reference_shapes[name]}" for name, count in used.items() if not count]
    if not misshapen:
        left_over += [
            f"left over: {count} of the {math.prod(plan.reference_shapes[name])} elements of {name} are used"
            for name, count in used.items()
            if count not in (0, math.prod(plan.reference_shapes[name]))
        ]
    unused = [f"missing: {problem.text}" for problem in plan.unused] if not missing else []
    if problems := [*missing, *unused, *misshapen, *left_over]:
        counts = {"missing": len(missing) + len(unused), "misshapen": len(misshapen), "left over": len(left_over)}
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        what = f"{source} does not fit its config ({kinds}): is the file of another model, or incomplete?"
        raise UserError(f"{what} {problems[0]}" if len(problems) == 1 else what, problems if len(problems) > 1 else ())


@dataclass(frozen=True)
class Outgoing:
    """A tensor as another format names and shapes it, made of our parameters when it is asked for."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    entries: tuple[Entry, ...]
    params: Mapping[str, Any]
    stacks: Stacks

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> np.ndarray:
        whole = np.zeros(self.shape, self.dtype)
        for entry in self.entries:
            if entry.stacked:
                place((), self.stacks.whole(entry, self)[entry.sources.index(self.name)], whole)
            else:
                place(entry.rule.ops, np.asarray(self.params[entry.name]), whole)
        return whole


class Stacks:
    """The tensors that one of our parameters is taken apart into, one below the other. The last one asked for is kept:
    they are asked for in turn."""

    def __init__(self) -> None:
        self._name, self._whole = "", np.zeros(0)

    def whole(self, entry: Entry, tensor: Outgoing) -> np.ndarray:
        if self._name != entry.name:
            self._name, self._whole = entry.name, np.zeros((len(entry.sources), *tensor.shape), tensor.dtype)
            place(entry.rule.ops, np.asarray(tensor.params[entry.name]), self._whole)
        return self._whole


def their_tensors(rules: str, params: Mapping[str, Any]) -> dict[str, Outgoing]:
    """The tensors that a rule table makes of our flat parameters, dtypes kept, each made when it is read.

    Parts that no parameter fills are zero. Raises UserError where no rule matches a parameter.
    """
    table = WeightRules.parse(rules)
    shapes = table.reference_shapes(params)
    entries: dict[str, list[Entry]] = {}
    for entry in table.plan(params, shapes).entries:
        for source in entry.sources:
            entries.setdefault(source, []).append(entry)
    stacks = Stacks()
    return {
        name: Outgoing(name, shapes[name], np.dtype(params[parts[0].name].dtype), tuple(parts), params, stacks)
        for name, parts in entries.items()
    }


def _carried(plan: WeightPlan, entry: Entry, tensors: Mapping[str, Readable]) -> np.ndarray:
    return carry(entry.rule.ops, plan.source(entry, lambda name: tensors[name].read()))
