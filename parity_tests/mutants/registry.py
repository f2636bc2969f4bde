"""Seeded bugs: each is one small change to the twin, or to how it is trained, of a kind that ports really have.

A mutant names the stage that must catch it, the first tensor over its bar there, and the case that shows it. Each is a
function that returns the patch, a context manager.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from parity_tests.cases import GENERIC, Case

Patch = AbstractContextManager[Any]


@dataclass(frozen=True)
class Mutant:
    name: str
    apply: Callable[[], Patch]
    stage: str
    first: str  # what the name of the first tensor over its bar starts with
    case: Case


MUTANTS: list[Mutant] = []


def mutant(stage: str, first: str, case: Case = GENERIC) -> Callable[[Callable[[], Patch]], Callable[[], Patch]]:
    def register(apply: Callable[[], Patch]) -> Callable[[], Patch]:
        MUTANTS.append(Mutant(apply.__name__, apply, stage, first, case))
        return apply

    return register
