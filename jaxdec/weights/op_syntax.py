"""How ops are written in a rule: "T chunk(0,3,1)"."""

from __future__ import annotations

import re
from collections.abc import Callable

from jaxdec.weights.ops import Chunk, Every, Halves, Op, OpError, PerHead, Plus, Reshape, Rows, Transpose


def parse_ops(text: str) -> tuple[Op, ...]:
    """ "T chunk(0, 3, 1)" -> (Transpose(), Chunk(0, 3, 1)). Raises OpError."""
    ops = []
    while text := text.strip():
        found = re.match(r"(\w+)\s*(?:\(([^()]*)\))?(?=\s|$)", text)
        if not found:
            raise OpError(f"'{text}' is not an op (allowed: {ALLOWED})")
        ops.append(_parse_op(found[0].strip(), found[1], found[2]))
        text = text[found.end() :]
    return tuple(ops)


def _parse_op(text: str, name: str, arguments: str | None) -> Op:
    if name not in _MAKERS:
        raise OpError(f"'{name}' is not an op (allowed: {ALLOWED})")
    form, make = _MAKERS[name]
    try:
        parts = [] if arguments is None else [part.strip() for part in arguments.split(",")]
        if (arguments is None) != (form == name):
            raise ValueError
        return make(*parts)
    except OpError as error:
        raise OpError(f"'{text}': {error}") from None
    except (ValueError, TypeError):
        raise OpError(f"'{text}' is not written as {form} (allowed: {ALLOWED})") from None


_MAKERS: dict[str, tuple[str, Callable[..., Op]]] = {
    "T": ("T", Transpose),
    "chunk": ("chunk(i,n,axis)", lambda i, n, axis: Chunk(int(i), int(n), int(axis))),
    "every": ("every(i,n,axis)", lambda i, n, axis: Every(int(i), int(n), int(axis))),
    "per_head": ("per_head(i,n,heads)", lambda *numbers: PerHead(*map(int, numbers))),  # a fourth: pieces from i on
    "rows": ("rows(a,b)", lambda a, b="": Rows(int(a), int(b) if b else None)),
    "reshape": ("reshape(n,...)", lambda *sizes: Reshape(tuple(map(int, sizes)))),
    "halves": ("halves(heads)", lambda *numbers: Halves(*map(int, numbers))),  # a second: channels that turn
    "plus": ("plus(c)", lambda c: Plus(float(c))),
}
ALLOWED = ", ".join(form for form, _ in _MAKERS.values())
