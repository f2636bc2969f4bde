"""`jaxdec parity mutate|seams`: how sensitive a check is, and where the frameworks are known to differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import json_option, option
from jaxdec.cli.parity.options import SPEC, loaded, require_writable, spec_argument
from jaxdec.config.files import write_text
from jaxdec.errors import Different, UserError


@dataclasses.dataclass(frozen=True)
class MutateOptions:
    spec: str | None = spec_argument()
    only: str | None = option(None, "one mutant", metavar="NAME", unset="all")
    seeds: int = option(5, "honest runs, each with other weights: none may raise an alarm")
    table: Path | None = option(None, "write a Markdown table of all mutants", metavar="FILE")
    json: bool = json_option()


@dataclasses.dataclass(frozen=True)
class SeamsOptions:
    json: bool = json_option()


def mutate(argv: Sequence[str]) -> dict[str, Any]:
    """Seeds the mutants, prints the certificate and returns its figures. Raises Different where it is not complete."""
    about = f"Seed one bug after the other: is it caught, at which stage, and is the right module named? {SPEC}"
    arguments = parse("parity mutate", MutateOptions(), argv, about=about)
    if arguments.seeds < 0:
        raise UserError(f"--seeds is {arguments.seeds}: give a whole number from 0")
    require_writable({"--table": arguments.table})
    with loaded(arguments.spec, "mutate") as pair:
        from jaxdec.parity.certificate.certificate import certify

        certificate = certify(pair, only=arguments.only, seeds=arguments.seeds, say=print)
    print(certificate)
    result = dict(certificate.summary())
    if arguments.table is not None:
        write_text(arguments.table, certificate.table())
        print(f"table      {arguments.table}")
        result["table"] = str(arguments.table)
    if not certificate.complete:
        raise Different(result)
    return result


def seams(argv: Sequence[str]) -> dict[str, Any]:
    """Prints the table of known seams and returns it."""
    parse("parity seams", SeamsOptions(), argv, about="Show the places where PyTorch and JAX are known to differ.")
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from jaxdec.parity.hints.seams import SEAMS

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("seam", no_wrap=True)
    table.add_column("what differs")
    table.add_column("effect when wrong", max_width=20)
    for seam in SEAMS:
        table.add_row(*(Text(each) for each in (seam.name, seam.differs, seam.effect)))
    Console(highlight=False).print(table)
    return {"seams": [{"seam": seam.name, "differs": seam.differs, "effect": seam.effect} for seam in SEAMS]}
