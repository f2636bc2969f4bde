"""Casts to less than float64 in a traced program, with the lines of the user's file that make them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jaxdec.parity.adapters.calling import place_of

LARGEST = {"float32": 1e-6, "bfloat16": 3e-2, "float16": 3e-3}  # what rounding to it does to a module's result


def casts_of(jaxpr: Any) -> Iterator[tuple[str, str]]:
    """(dtype, ` (file, line n)`) of each cast from float64 to less, at the line of the user's own file."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "convert_element_type":
            before, after = (str(side[0].aval.dtype) for side in (eqn.invars, eqn.outvars))
            if before == "float64" and after in LARGEST:
                frames = eqn.source_info.traceback
                yield after, place_of(frames.as_python_traceback() if frames is not None else None)
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from casts_of(inner)
