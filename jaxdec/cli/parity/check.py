"""`jaxdec parity check|bisect SPEC`: every comparison of a pair, or only what is at fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jaxdec.cli.flags.flags import own_flags, pairs, parse
from jaxdec.cli.flags.options import json_option, option
from jaxdec.cli.parity.options import (
    CODES,
    PRECISIONS,
    SPEC,
    WEIGHT_INITS,
    answer,
    html_option,
    loaded,
    report_json_option,
    require_writable,
    saying,
    seed_option,
    spec_argument,
    write,
)
from jaxdec.errors import UserError, nearest

if TYPE_CHECKING:
    from jaxdec.parity.report.report import Report

Name = TypeVar("Name", bound=str)
LISTS = ("--weight-inits", "--precisions", "--stages")


@dataclasses.dataclass(frozen=True)
class BisectOptions:
    spec: str | None = spec_argument()
    steps: int = option(100, "training steps of the trajectory")
    seed: int = seed_option()
    weight_inits: str | None = option(None, "weights: init, generic", metavar="A,B", unset="both")
    precisions: str | None = option(None, "float64, float32, bfloat16", metavar="A,B", unset="all")
    stages: str | None = option(None, "as weights,taps,logits,loss", metavar="A,B", unset="all")
    html: Path | None = html_option()
    report_json: Path | None = report_json_option()
    json: bool = json_option()


@dataclasses.dataclass(frozen=True)
class CheckOptions(BisectOptions):
    no_bisect: bool = option(False, "do not look for what is at fault when something differs")


def check(argv: Sequence[str]) -> dict[str, Any]:
    """Checks a pair and shows the whole report."""
    about = f"Compare a JAX model with its PyTorch reference, stage by stage. {SPEC} {CODES}"
    arguments = parse("parity check", CheckOptions(), with_lists(argv, CheckOptions), about=about)
    report = report_of(arguments, "check", bisect=not arguments.no_bisect)
    files = write(report, arguments.html, arguments.report_json)
    from jaxdec.parity.report.terminal import show

    show(report, files)
    return answer(report, files)


def bisect(argv: Sequence[str]) -> dict[str, Any]:
    """Checks a pair and shows what is at fault."""
    about = f"Name what in a JAX model differs from its PyTorch reference. {SPEC} {CODES}"
    arguments = parse("parity bisect", BisectOptions(), with_lists(argv, BisectOptions), about=about)
    report = report_of(arguments, "bisect", bisect=True)
    files = write(report, arguments.html, arguments.report_json)
    from jaxdec.parity.report.terminal import show_findings, show_verdict

    show_findings(report)
    show_verdict(report, files)
    return answer(report, files)


def report_of(arguments: BisectOptions, action: str, *, bisect: bool) -> Report:
    """Runs the check that the arguments ask for."""
    weight_inits = chosen(arguments.weight_inits, "--weight-inits", WEIGHT_INITS)
    precisions = chosen(arguments.precisions, "--precisions", PRECISIONS)
    stages = None if arguments.stages is None else tuple(name for name in arguments.stages.split(",") if name)
    if arguments.steps < 1:
        raise UserError(f"--steps is {arguments.steps}: give a whole number from 1")
    require_writable({"--html": arguments.html, "--report-json": arguments.report_json})
    with loaded(arguments.spec, action) as pair, saying() as say:
        from jaxdec.parity.check import check

        return check(
            pair,
            steps=arguments.steps,
            seed=arguments.seed,
            weight_inits=weight_inits,
            precisions=precisions,
            stages=stages,
            bisect=bisect,
            say=say,
        )


def chosen(text: str | None, flag: str, known: Sequence[Name]) -> tuple[Name, ...]:
    """The names in a list that was typed, in the order in which they are run; all without a list."""
    names = known if text is None else [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise UserError(f"{flag} has '{name}'{nearest(name, known)}")
    if not names:
        raise UserError(f"{flag} is empty: give {', '.join(known)} or some of them")
    return tuple(name for name in known if name in names)


def with_lists(argv: Sequence[str], cls: type) -> list[str]:
    """`--weight-inits init generic` as `--weight-inits=init,generic`: once SPEC has been given, all words after a
    list's name are its items."""
    typed: list[tuple[str | None, str | None]] = []
    given = False
    for flag, value in pairs(argv, own_flags(cls)):
        if flag is None and given and typed[-1][0] in LISTS and typed[-1][1]:
            typed[-1] = (typed[-1][0], f"{typed[-1][1]},{value}")
            continue
        typed.append((flag, value))
        given = given or flag is None
    return [
        word
        for flag, value in typed
        for word in ([value or ""] if flag is None else [flag if value is None else f"{flag}={value}"])
    ]
