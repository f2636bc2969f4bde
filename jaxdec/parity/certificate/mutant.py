"""A seeded bug: one small change to one side, or to how it is trained, of a kind that ports really have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from jaxdec.parity.setting import WeightInit
from jaxdec.parity.sides.stages import Sides

Patch = AbstractContextManager[Any]


@dataclass(frozen=True)
class Mutant:
    """apply: given the two sides of a pair, a context manager for whose length the bug is there.
    where: what bisecting must name first: a module's path, a parameter's name, or a component ("loss", "optimizer").
    pair: the name of the pair that it is seeded in; "" is the pair at hand.
    weight_init: the kind of weights that show it.
    about: the bug in a few words.
    reason: why the change leaves the model the same function; the check must not take such a change for a bug.
    named: what bisecting names where it cannot know better; such a mutant does not count as located.
    """

    name: str
    apply: Callable[[Sides], Patch]
    where: str
    pair: str = ""
    weight_init: WeightInit = "generic"
    about: str = ""
    reason: str = ""
    named: str = ""
