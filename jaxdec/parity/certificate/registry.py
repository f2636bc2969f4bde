"""Seeded bugs: each is one small change to one side, or to how it is trained, of a kind that ports really have.

A mutant names the pair and the weights that show it, and the place where it sits, which bisecting must name first. Its
`apply` is given the pair's two sides and returns a context manager, for whose length the bug is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from jaxdec.parity.setting import WeightInit
from jaxdec.parity.sides.stages import Sides

Patch = AbstractContextManager[Any]


@dataclass(frozen=True)
class Mutant:
    """where: a module's path, a parameter's name, or a component as bisecting calls it ("loss", "optimizer" ...).
    pair: a name of `tiny.MODELS`; "" is the pair at hand.
    named: what bisecting names where it cannot know better; such a mutant does not count as located.
    reason: why the change is none, of a mutant that changes no function; such a one must not be caught.
    """

    name: str
    apply: Callable[[Sides], Patch]
    where: str
    pair: str = ""
    weight_init: WeightInit = "generic"
    about: str = ""
    reason: str = ""
    named: str = ""


MUTANTS: list[Mutant] = []
EQUIVALENT: list[Mutant] = []


def mutant(
    where: str, pair: str = "gpt", weight_init: WeightInit = "generic", *, named: str = ""
) -> Callable[[Callable[..., Patch]], Any]:
    """Registers a function that returns a patch; it is given the sides if it has a parameter."""

    def register(apply: Callable[..., Patch]) -> Callable[..., Patch]:
        about = summary(apply) or apply.__name__.replace("_", " ")
        MUTANTS.append(Mutant(apply.__name__, with_sides(apply), where, pair, weight_init, about, named=named))
        return apply

    return register


def equivalent(pair: str = "gpt", weight_init: WeightInit = "generic") -> Callable[[Callable[..., Patch]], Any]:
    """The same for a change of the code that changes no function; the docstring says why."""

    def register(apply: Callable[..., Patch]) -> Callable[..., Patch]:
        about = apply.__name__.replace("_", " ")
        EQUIVALENT.append(Mutant(apply.__name__, with_sides(apply), "", pair, weight_init, about, summary(apply)))
        return apply

    return register


@contextmanager
def together(*patches: Patch) -> Iterator[None]:
    """Several patches as one."""
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


def summary(apply: Callable[..., Patch]) -> str:
    return " ".join((apply.__doc__ or "").split())


def with_sides(apply: Callable[..., Patch]) -> Callable[[Sides], Patch]:
    return apply if apply.__code__.co_argcount else lambda sides: apply()
