"""`jaxdec parity WHAT`: is a JAX model the same function as a PyTorch one? Finds what to do; each has its flags."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from jaxdec.errors import UserError, nearest

ABOUT = {
    "check": "compare everything, stage by stage, and name what differs",
    "bisect": "show only what differs, and which known seam explains it",
    "mutate": "seed bugs, and count those that the check catches and locates",
    "seams": "show the places where PyTorch and JAX are known to differ",
    "dump": "write what one side computes, for a comparison on another machine",
    "compare": "compare two dumps",
}
MODULES = {
    "check": "check",
    "bisect": "check",
    "mutate": "mutants",
    "seams": "mutants",
    "dump": "dumps",
    "compare": "dumps",
}


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Does what the first word says and returns its result. Raises Different when two sides are not equal."""
    words = list(argv)
    what = next((word for word in words if not word.startswith("-")), None)
    if what is None and (not set(words) - {"--json"} or {"-h", "--help"} & set(words)):
        print(overview())
        return {"parity": ABOUT}
    if what not in ABOUT:
        given = nearest(what, ABOUT) if what else ""
        raise UserError(f"say what to do: jaxdec parity check, bisect, mutate, seams, dump or compare{given}")
    words.remove(what)
    return getattr(importlib.import_module(f"jaxdec.cli.parity.{MODULES[what]}"), what)(words)


def overview() -> str:
    """The page of `jaxdec parity --help`."""
    from jaxdec.cli.parity.options import CODES, SPEC

    return "\n".join(
        [
            "usage: jaxdec parity WHAT [SPEC] [OPTIONS]",
            "",
            "Prove that a JAX model is the same function as a PyTorch model, or name the first",
            "module that differs. Needs the extra `torch`: pip install 'jaxdec[torch]'.",
            "",
            *(f"  {name:<9}{about}" for name, about in ABOUT.items()),
            "",
            SPEC,
            "",
            "  jaxdec parity check char-gpt --html report.html",
            "  jaxdec parity bisect my_port.py --precisions float64 --steps 10",
            "",
            CODES,
            "jaxdec parity WHAT --help shows every flag. --json ends with one JSON line.",
        ]
    )
