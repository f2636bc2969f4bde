"""What happens to the values that pass a tap: they are recorded, and may be replaced.

The values may be torch tensors, JAX arrays or tracers. A module has two taps, at its input and at its output, both
named by its path; a plain function has the ones that it sets by `tap`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Probe:
    """`entered` holds what arrived at each module, `left` what it made of its input, in the order of execution.

    `inputs` and `outputs` name values that take the place of those: teacher forcing. With both, every module computes
    from given inputs and given results of the modules inside it, so that what it returns shows its own code alone.
    """

    def __init__(self, inputs: Mapping[str, Any] | None = None, outputs: Mapping[str, Any] | None = None) -> None:
        self.inputs, self.outputs = inputs or {}, outputs or {}
        self.entered: dict[str, Any] = {}
        self.left: dict[str, Any] = {}
        self.running: list[
            str
        ] = []  # modules that have been entered and not left: the last one is at fault in an error

    def enter(self, name: str, value: Any) -> Any:
        """The value that the module shall read. Of a module that runs several times, calls after the first get names
        of their own: `norm`, `norm~2` ..."""
        name = _unused(name, self.entered)
        self.entered[name] = value
        return like(self.inputs[name], value) if name in self.inputs else value

    def leave(self, name: str, value: Any) -> Any:
        """The value that the rest of the model shall get."""
        name = _unused(name, self.left)
        self.left[name] = value
        return like(self.outputs[name], value) if name in self.outputs else value


def like(value: Any, other: Any) -> Any:
    """`value` in the shape of `other`: one side may have flattened batch and time. `other` itself where they hold
    different numbers of elements, so that a model whose shapes are wrong still runs."""
    if math.prod(value.shape) != math.prod(other.shape):
        return other
    return value if value.shape == other.shape else value.reshape(other.shape)


def _unused(name: str, record: Mapping[str, Any]) -> str:
    count = 1
    while (label := name if count == 1 else f"{name}~{count}") in record:
        count += 1
    return label


_current: ContextVar[Probe | None] = ContextVar("probe", default=None)


def tap(name: str, value: Any) -> Any:
    """Marks an array in a plain function as the output of the module `name`, and returns it: `x = tap("h.0", x)`.

    Names are those of the reference's modules, or are led to them by `Pair(taps=...)`. Outside of a check it returns
    the value and does nothing else. It must not stand inside a scan, remat or jit: the check then raises UserError.
    """
    probe = _current.get()
    return value if probe is None else probe.leave(name, value)


@contextmanager
def function_probe(probe: Probe) -> Iterator[None]:
    """`tap` reports to `probe` for the length of the block."""
    token = _current.set(probe)
    try:
        yield
    finally:
        _current.reset(token)


def first_array(values: Any, is_array: Any) -> int | None:
    """Where the activation stands in a tuple or list of arguments or results; None without one."""
    return next((place for place, value in enumerate(values) if is_array(value)), None)
