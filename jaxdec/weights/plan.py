"""Which part of which reference tensor becomes each candidate parameter: carried both ways, and checked as a bijection.

The check gives every element of every reference tensor an id and sends the ids through the ops of the rules: each must
arrive exactly once, in a parameter or among what is left out on purpose. Only `problems` makes ids; carrying weights
costs no more than the arrays themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jaxdec.errors import UserError
from jaxdec.weights.check import find_problems
from jaxdec.weights.entries import Entry, Problem, Resolved
from jaxdec.weights.ops import ArrayShape, OpError, carry, place


@dataclass(frozen=True)
class WeightPlan(Resolved):
    """The rules resolved for one pair of models. Look at `problems`, or call `require`, before weights are carried."""

    def to_candidate(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Reference weights by the reference's names -> the candidate's, dtypes kept; may share memory with `arrays`.

        Raises UserError for an array that is missing or whose shape is not the one planned with.
        """
        return {entry.name: self._carried(entry, arrays, constants=True) for entry in self._complete()}

    def tangents_to_candidate(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Gradients or updates of the reference in the candidate's names and layouts: constants add nothing to them."""
        return {entry.name: self._carried(entry, arrays, constants=False) for entry in self._complete()}

    def to_reference(self, arrays: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The inverse of `to_candidate`, in new arrays, dtypes kept, in the order of the candidate's parameters.

        What is left out on purpose comes from `base`; without it, tensors left out whole are absent and parts are zero.
        Raises UserError for an array that is missing or of another shape than planned.
        """
        found: dict[str, np.ndarray] = {}
        for entry in self._complete():
            value = _array(arrays, entry.name, entry.shape, "the candidate's")
            for source in entry.sources:
                if source not in found:
                    found[source] = self._blank(source, value.dtype, base)
            whole = np.stack([found[name] for name in entry.sources]) if entry.stacked else found[entry.sources[0]]
            with _explained(entry):
                if self.made_shape(entry) != entry.shape:
                    raise OpError(f"it makes {self.made_shape(entry)} where the candidate has {entry.shape}")
                place(entry.rule.ops, value, whole)
            if entry.stacked:
                found.update(zip(entry.sources, whole, strict=True))
        for entry in self.left_out:
            if base is None:
                break
            source = entry.sources[0]
            found.setdefault(source, np.array(_array(base, source, self.reference_shapes[source], "the base's")))
        return found

    def clear_left_out(self, arrays: dict[str, np.ndarray]) -> None:
        """Sets what is left out on purpose to zero, in place, in arrays under the reference's names."""
        for entry in self.left_out:
            whole = arrays[entry.sources[0]]
            place(entry.rule.ops, np.zeros_like(carry(entry.rule.ops, whole, constants=False)), whole)

    def require(self) -> WeightPlan:
        """The plan itself; UserError with the first error and the number of others, where there is one."""
        errors = [problem.text for problem in self.problems if problem.kind != "square"]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise UserError(f"weight rules: {errors[0]}{more}")
        return self

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong, errors first; none means that every element arrives exactly once, in the right shape."""
        return find_problems(self)

    def _complete(self) -> tuple[Entry, ...]:
        if self.missing:
            raise UserError(f"weight rules: {self.missing[0].text}")
        return self.entries

    def _carried(self, entry: Entry, arrays: Mapping[str, Any], constants: bool) -> np.ndarray:
        shapes = self.reference_shapes
        whole = self.source(entry, lambda name: _array(arrays, name, shapes[name], "the reference's"))
        with _explained(entry):
            made = carry(entry.rule.ops, whole, constants)
            if made.shape != entry.shape:
                raise OpError(f"it makes {made.shape} where the candidate has {entry.shape}")
        return made

    def _blank(self, name: str, dtype: np.dtype, base: Mapping[str, Any] | None) -> np.ndarray:
        shape = self.reference_shapes[name]
        if base is None:
            return np.zeros(shape, dtype)
        return np.array(_array(base, name, shape, "the base's"), dtype)


@contextmanager
def _explained(entry: Entry) -> Iterator[None]:
    try:
        yield
    except OpError as error:
        raise UserError(f"weight rules: {entry.name}: {entry.rule}: {error}") from None


def _array(arrays: Mapping[str, Any], name: str, shape: ArrayShape, whose: str) -> np.ndarray:
    if name not in arrays:
        raise UserError(f"{whose} arrays lack {name}, which the weight rules ask for")
    array = np.asarray(arrays[name])
    if array.shape != shape:
        raise UserError(f"{whose} {name} has shape {array.shape} where the weight rules were planned for {shape}")
    return array
