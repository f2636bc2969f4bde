"""A report on the terminal: a line per stage, what fails in detail, and the verdict.

Legible in 80 columns and without colour: what a colour says, the text says too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.report.report import Finding, Group, Hint, Report, decades, figure, groups, headroom

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDTH = 80
# Columns beside the name of the worst comparison, with the spaces between them.
FIXED = 2 + 13 + 1 + 5 + 2 + 1 + 8 + 1 + 9 + 1 + 8 + 2 + 7
WORST = 3
GOOD, BAD, QUIET = "green", "bold red", "dim"


def show(report: Report, files: Mapping[str, object] | None = None) -> None:
    """Prints the whole report. `files`: what else was written, kind -> path."""
    console = _console()
    console.print(_line(("parity of ", ""), (report.pair, "bold")))
    for line in _table(report, _name_width(console)):
        console.print(line)
    for line in _details(report):
        console.print(line)
    show_findings(report, console=console)
    _paragraphs(console, "notes", report.notes)
    show_verdict(report, files, console=console)


def show_verdict(report: Report, files: Mapping[str, object] | None = None, *, console: Console | None = None) -> None:
    """Prints the last lines: equal or different, and where the rest is written."""
    console = console or _console()
    console.print()
    console.print(verdict(report))
    for kind, path in (files or {}).items():
        console.print(_line((f"{kind:<9}  {path}", "")))


def show_findings(report: Report, *, console: Console | None = None) -> None:
    """Prints what is at fault, and which known seam explains it."""
    console = console or _console()
    if report.findings:
        _paragraphs(console, "findings", [finding_line(finding) for finding in report.findings])
    elif not report.equal:
        _paragraphs(console, "findings", ["nothing was named: see the first tap over its tolerance"])
    _paragraphs(console, "hints", [hint_line(hint) for hint in report.hints])


def verdict(report: Report) -> Text:
    """One line: equal or different, and by how much."""
    count = len(report.comparisons)
    if not report.comparisons:
        return _line(("DIFFERENT", BAD), (f"  {report.pair}: nothing was compared, which proves nothing", ""))
    time = f"{report.seconds:.1f} s"
    if report.equal:
        room = decades(min(map(headroom, report.comparisons)))
        return _line(
            ("EQUAL", GOOD), (f"  {report.pair}: {count:,} comparisons, least headroom {room} decades, {time}", "")
        )
    return _line(
        ("DIFFERENT", BAD),
        (f"  {report.pair}: {len(report.over):,} of {count:,} comparisons over their tolerances, {time}", ""),
    )


def finding_line(finding: Finding) -> str:
    """`blocks.1.mlp: semantic, forward, 3.2e-04 (tolerance 1e-11): what it is in a sentence`"""
    figures = f"{figure(finding.measured)} (tolerance {figure(finding.limit)})"
    return f"{finding.where}: {finding.kind}, {finding.direction}, {figures}: {finding.sentence}"


def hint_line(hint: Hint) -> str:
    """`blocks.1.mlp, gelu form: matches at 2e-15 with erf GELU`."""
    return f"{hint.where}, {hint.seam}: {hint.text}"


def shorten(name: str, width: int) -> str:
    """The name with its middle left out where it is too long: its beginning says which layer, its end which part.

    >>> shorten("blocks.3.attention.query.kernel", 22)
    'blocks.3….query.kernel'
    """
    if len(name) <= width:
        return name
    layer = ".".join(name.split(".")[:2])
    head = layer if len(layer) <= width // 2 else name[: width // 3]
    return f"{head}…{name[len(head) + 1 - width :]}"


def _table(report: Report, width: int) -> Iterator[Text]:
    """A heading per precision and kind of weights, a line per stage."""
    last = None
    for group in groups(report.comparisons):
        if group.setting != last:
            yield _line(("", ""))
            if last is None:
                room = f"{'measured':>8} {'tolerance':>9} {'headroom':>8}"
                yield _line((f"  {'stage':<13} {'n':>5}  {'closest to tolerance':<{width}} {room}", QUIET))
            yield _line((group.setting, "bold"))
        last = group.setting
        yield _row(group, width)


def _row(group: Group, width: int) -> Text:
    worst = group.worst
    figures = f"{figure(worst.measured):>8} {figure(worst.limit):>9} {decades(headroom(worst)):>8}"
    name = f"{shorten(worst.name, width):<{width}}"
    head = f"  {shorten(group.stage, 13):<13} {len(group.comparisons):>5}  {name} {figures}  "
    return _line((head, ""), ("equal", GOOD) if group.equal else ("DIFFERS", BAD))


def _details(report: Report) -> Iterator[Text]:
    """Of the first setting with a difference, each failing stage: the first over its tolerance, and the worst. Later
    settings mostly inherit it, and the files have them all."""
    failing = [group for group in groups(report.comparisons) if not group.equal]
    if not failing:
        return
    yield _line(("", ""))
    yield _line((f"over the tolerance: {failing[0].setting}", "bold"))
    here = [group for group in failing if group.setting == failing[0].setting]
    for group in here:
        over = group.over
        yield _line((f"  {group.stage}: {len(over):,} of {len(group.comparisons):,}", ""))
        yield _line((f"    first  {_comparison(over[0])}", ""))
        worst = sorted((each for each in over if each is not over[0]), key=headroom)[:WORST]
        for comparison in worst:
            yield _line((f"    worst  {_comparison(comparison)}", ""))
    if more := len(failing) - len(here):
        yield _line((f"  and {more} stage{'s' * (more > 1)} with other weights or in other precisions", QUIET))


def _comparison(comparison: Comparison) -> str:
    note = f"  {comparison.note}" if comparison.note else ""
    measured, tolerance = figure(comparison.measured), figure(comparison.limit)
    return f"{shorten(comparison.name, 42):<42} {measured:>8}  tolerance {tolerance}{note}"


def _paragraphs(console: Console, title: str, texts: Sequence[str]) -> None:
    """A heading and an indented paragraph each; nothing without texts."""
    if not texts:
        return
    console.print()
    console.print(_line((title, "bold")))
    for text in texts:
        wrapped = textwrap.wrap(text, min(console.width, 110) - 4, break_on_hyphens=False) or [""]
        console.print(_line(("\n".join([f"  {wrapped[0]}", *(f"    {rest}" for rest in wrapped[1:])]), "")))


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def _name_width(console: Console) -> int:
    return min(max(console.width, WIDTH), 110) - FIXED


def _line(*parts: tuple[str, str]) -> Text:
    """Text objects, so that a name with brackets is never read as markup."""
    from rich.text import Text

    return Text.assemble(*parts)
