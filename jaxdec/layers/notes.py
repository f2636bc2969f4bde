"""Values inside a model that somebody may want to look at: attention weights, routing, the stream between layers.

A layer notes a value where it has it. Outside of `taken` nothing happens, and a traced function is the same program as
without the call. So what is shown is what the model itself computed, from no second formula.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Notes = dict[str, list[Any]]

_current: ContextVar[Notes | None] = ContextVar("notes", default=None)


def note(name: str, value: Any) -> None:
    """Hands a value (an array, or a tuple of them) to the `taken` block that is running, if there is one."""
    notes = _current.get()
    if notes is not None:
        notes.setdefault(name, []).append(value)


@contextmanager
def taken() -> Iterator[Notes]:
    """Collects what is noted inside the block, by name, in the order of execution.

    Inside a traced function these are tracers, which it must return. Names: `attention`, the weights [B,H,T,S] before
    dropout, of each attention; `routing`, a `moe.Routing` of each mixture of experts; `stream`, what each layer
    is given and what the last one returns, [B,T,D].
    """
    notes: Notes = {}
    token = _current.set(notes)
    try:
        yield notes
    finally:
        _current.reset(token)
