"""Is a JAX model the same function as a PyTorch one? Weights, taps, comparisons and tolerances.

What a SPEC and a test need can be imported from here; each name is looked up when it is first used, so that importing
the package imports neither jax nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdec.parity.adapters.candidate import Candidate, from_function, from_linen, from_nnx
    from jaxdec.parity.adapters.probe import tap
    from jaxdec.parity.adapters.reference import Reference
    from jaxdec.parity.assertion import assert_parity
    from jaxdec.parity.pair import Pair
    from jaxdec.parity.report.report import Report

__all__ = [
    "Candidate",
    "Pair",
    "Reference",
    "Report",
    "assert_parity",
    "from_function",
    "from_linen",
    "from_nnx",
    "tap",
]
_HOMES = {
    "Candidate": "adapters.candidate",
    "Pair": "pair",
    "Reference": "adapters.reference",
    "Report": "report.report",
    "assert_parity": "assertion",
    "from_function": "adapters.candidate",
    "from_linen": "adapters.candidate",
    "from_nnx": "adapters.candidate",
    "tap": "adapters.probe",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
