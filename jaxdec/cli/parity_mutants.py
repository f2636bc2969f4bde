"""`jaxdec parity mutate|seams`: how much a check is worth, and where the frameworks are known to differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxdec.cli.flags import parse
from jaxdec.cli.options import Json


@dataclasses.dataclass(frozen=True)
class Seams:
    json: Json = False


def seams(argv: Sequence[str]) -> dict[str, Any]:
    """Prints the table of known seams and returns it."""
    parse("parity seams", Seams(), argv, about="Show the places where PyTorch and JAX are known to differ.")
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from jaxdec.parity.seams import SEAMS

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("seam", no_wrap=True)
    table.add_column("what differs")
    table.add_column("effect when wrong", max_width=20)
    for seam in SEAMS:
        table.add_row(*(Text(each) for each in (seam.name, seam.differs, seam.effect)))
    Console(highlight=False).print(table)
    return {"seams": [{"seam": seam.name, "differs": seam.differs, "effect": seam.effect} for seam in SEAMS]}
