"""A rule table resolved for one pair of models: from which reference tensors, by which rule, each parameter is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from jaxdec.weights.ops import ArrayShape, OpError, shape_after
from jaxdec.weights.rule_syntax import WeightRule

Layout = Literal["out_in", "in_out"]


@dataclass(frozen=True)
class Problem:
    """What is wrong with one tensor, in one line. "square" is a suspicion, the other kinds are errors."""

    kind: Literal["missing", "unused", "unmapped", "doubly mapped", "shape", "square"]
    name: str
    text: str


@dataclass(frozen=True)
class Entry:
    """A candidate parameter and where its elements come from; several sources are stacked along a new first axis."""

    name: str
    shape: ArrayShape
    rule: WeightRule
    sources: tuple[str, ...]

    @property
    def stacked(self) -> bool:
        return self.rule.gathered is not None


@dataclass(frozen=True)
class Resolved:
    """A table and two models: which parameter is made of what.

    `left_out` is what the table leaves out on purpose, `missing` names the candidate's parameters without a source,
    `unused` the rules that served nothing.
    """

    entries: tuple[Entry, ...]
    left_out: tuple[Entry, ...]
    missing: tuple[Problem, ...]
    unused: tuple[Problem, ...]
    reference_shapes: Mapping[str, ArrayShape]
    layouts: Mapping[str, Layout] = field(default_factory=dict)

    def source(self, entry: Entry, array_of: Callable[[str], np.ndarray]) -> np.ndarray:
        """What the ops of an entry are applied to."""
        return np.stack([array_of(name) for name in entry.sources]) if entry.stacked else array_of(entry.sources[0])

    def made_shape(self, entry: Entry) -> ArrayShape:
        """The shape that the rule makes of the reference's. Raises OpError where an op does not fit."""
        first, *rest = (self.reference_shapes[name] for name in entry.sources)
        if odd := next((shape for shape in rest if shape != first), None):
            raise OpError(f"tensors of shapes {first} and {odd} cannot be stacked")
        return shape_after(entry.rule.ops, (len(entry.sources), *first) if entry.stacked else first)
