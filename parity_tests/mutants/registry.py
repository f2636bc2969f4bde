"""The lists of our own mutants, and how a function that patches our code becomes one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from jaxdec.parity.certificate.mutant import Mutant, Patch
from jaxdec.parity.setting import WeightInit
from jaxdec.parity.sides.stages import Sides

MUTANTS: list[Mutant] = []
LATER: list[Mutant] = []  # bugs of the later stages: the test of each stage seeds its own, the certificate does not
EQUIVALENT: list[Mutant] = []  # changes of the code that leave the model the same function


def mutant(
    where: str, pair: str = "gpt", weight_init: WeightInit = "generic", *, named: str = ""
) -> Callable[[Callable[..., Patch]], Any]:
    """Registers a function that returns a patch as a bug in the pair of this name in `tiny.MODELS`. The function is
    given the sides if it has a parameter."""

    def register(apply: Callable[..., Patch]) -> Callable[..., Patch]:
        about = described(apply) or apply.__name__.replace("_", " ")
        MUTANTS.append(Mutant(apply.__name__, with_sides(apply), where, pair, weight_init, about, named=named))
        return apply

    return register


def later_mutant(where: str, pair: str) -> Callable[[Callable[..., Patch]], Any]:
    """The same for a bug in the pair of a later stage, as `jaxdec.parity.pairs.later` names it."""

    def register(apply: Callable[..., Patch]) -> Callable[..., Patch]:
        about = described(apply) or apply.__name__.replace("_", " ")
        LATER.append(Mutant(apply.__name__, with_sides(apply), where, pair, "generic", about))
        return apply

    return register


def equivalent(pair: str = "gpt", weight_init: WeightInit = "generic") -> Callable[[Callable[..., Patch]], Any]:
    """The same for a change of the code that leaves the function the same; the docstring says why."""

    def register(apply: Callable[..., Patch]) -> Callable[..., Patch]:
        about = apply.__name__.replace("_", " ")
        EQUIVALENT.append(Mutant(apply.__name__, with_sides(apply), "", pair, weight_init, about, described(apply)))
        return apply

    return register


@contextmanager
def together(*patches: Patch) -> Iterator[None]:
    """Several patches as one."""
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


def described(apply: Callable[..., Patch]) -> str:
    return " ".join((apply.__doc__ or "").split())


def with_sides(apply: Callable[..., Patch]) -> Callable[[Sides], Patch]:
    return apply if apply.__code__.co_argcount else lambda sides: apply()
