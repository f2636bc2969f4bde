"""A report as one HTML page that needs nothing but itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from jaxdec.config.files import write_text
from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.compare.tolerances import SEMANTIC
from jaxdec.parity.report.report import Group, Report, decades, figure, groups, headroom
from jaxdec.runs.charts import Series, chart
from jaxdec.runs.page import document, section

DEPTH = "taps"  # the stage whose comparisons are in the order of depth
RUNS = ("trajectory", "losses")  # stages with the losses of a training run: of a check, of two dumps
ROWS = 60  # a failing table that is longer shows what fails first, and the whole of it on demand
READING = """Measured in float64: |candidate - reference| / |reference|, in Frobenius norms. In lower precision: the
candidate's distance from the float64 oracle over the reference's own, or, of losses and updates, relative to the
oracle. Discrete outputs: how many differ. Headroom is log10(tolerance / measured), in decades."""


def write_html(report: Report, path: Path) -> None:
    """Writes the page to `path`, whole or not at all."""
    write_text(path, to_html(report))


def to_html(report: Report) -> str:
    return document(f"{report.pair}: {_verdict(report.equal)}", _body(report))


def _body(report: Report) -> Iterator[str]:
    lines = groups(report.comparisons)
    yield _head(report)
    yield _findings(report)
    yield section("Notes", _list(map(escape, report.notes)))
    yield section("Stages", _summary(lines) + f'<p class="quiet">{READING}</p>' if lines else "")
    yield section("Over depth", _depth(report))
    yield section("Over training steps", _steps(report))
    yield section("Every comparison", "\n".join(map(_group, range(len(lines)), lines)))
    rows = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in report.environment.items()
    )
    yield section("Environment", f'<table class="environment">{rows}</table>' if rows else "")


def _verdict(equal: bool) -> str:
    return "equal" if equal else "different"


def _badge(equal: bool) -> str:
    return '<span class="good">equal</span>' if equal else '<span class="bad">DIFFERS</span>'


def _list(items: Iterable[str]) -> str:
    text = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{text}</ul>" if text else ""


def _head(report: Report) -> str:
    count, over = len(report.comparisons), len(report.over)
    if not count:
        fact = "nothing was compared, which proves nothing"
    elif over:
        fact = f"{over:,} of {count:,} comparisons are over their tolerances"
    else:
        fact = f"{count:,} comparisons, least headroom {decades(min(map(headroom, report.comparisons)))} decades"
    return f"""<header class="{_verdict(report.equal)}">
<p class="quiet">Parity of a JAX model with its PyTorch reference</p>
<h1>{escape(report.pair)}</h1>
<p class="verdict"><strong>{_verdict(report.equal).upper()}</strong> {fact}; {report.seconds:.1f} s</p>
</header>"""


def _findings(report: Report) -> str:
    found = [
        f"<li><code>{escape(each.where)}</code> <b>{escape(each.kind)}</b>, {escape(each.direction)}: "
        f"{figure(each.measured)} (tolerance {figure(each.limit)}): {escape(each.sentence)}</li>"
        for each in report.findings
    ]
    hints = [
        f"<li><code>{escape(each.where)}</code> <b>{escape(each.seam)}</b>: {escape(each.text)} "
        f'<span class="quiet">(residual {figure(each.residual)})</span></li>'
        for each in report.hints
    ]
    content = f"<ul>{''.join(found)}</ul>" if found else ""
    content += f"<h3>Hints</h3><ul>{''.join(hints)}</ul>" if hints else ""
    return section("Findings", content)


def _summary(lines: Sequence[Group]) -> str:
    rows = "".join(
        f'<tr class="{_verdict(group.equal)}"><td><a href="#g{number}">{escape(group.stage)}</a></td>'
        f"<td>{escape(group.precision)}</td><td>{escape(group.weight_init)}</td>"
        f'<td class="n">{len(group.comparisons):,}</td>'
        f"<td><code>{escape(group.worst.name)}</code></td>{_figures(group.worst)}</tr>"
        for number, group in enumerate(lines)
    )
    head = '<th>stage</th><th>precision</th><th>weights</th><th class="n">n</th><th>closest to tolerance</th>'
    return f'<div class="wide"><table><thead><tr>{head}{_FIGURES}</tr></thead><tbody>{rows}</tbody></table></div>'


_FIGURES = '<th class="n">measured</th><th class="n">tolerance</th><th class="n">headroom</th><th>verdict</th>'


def _figures(comparison: Comparison) -> str:
    figures = (figure(comparison.measured), figure(comparison.limit), decades(headroom(comparison)))
    return "".join(f'<td class="n">{each}</td>' for each in figures) + f"<td>{_badge(comparison.equal)}</td>"


def _group(number: int, group: Group) -> str:
    """A table that opens on demand, and stands open where something fails."""
    worst = f"worst {figure(group.worst.measured)} of {figure(group.worst.limit)}"
    title = f"<b>{escape(group.stage)}</b>, {escape(group.setting)}"
    facts = f'<span class="quiet">{len(group.comparisons):,} compared, {worst}</span> {_badge(group.equal)}'
    if group.equal or len(group.comparisons) <= ROWS:
        tables = _table(group.comparisons)
    else:
        shown = group.over[:ROWS]
        whole = (
            f"<details><summary>all {len(group.comparisons):,}, in order</summary>{_table(group.comparisons)}</details>"
        )
        tables = f"<p>{len(group.over):,} over the tolerance, the first {len(shown)} of them:</p>{_table(shown)}{whole}"
    opened = "" if group.equal else " open"
    return f'<details class="group" id="g{number}"{opened}><summary>{title} {facts}</summary>{tables}</details>'


def _table(comparisons: Sequence[Comparison]) -> str:
    rows = "".join(
        f'<tr class="{_verdict(each.equal)}"><td><code>{escape(each.name)}</code>{_note(each)}</td>'
        f"{_figures(each)}</tr>"
        for each in comparisons
    )
    return (
        f'<div class="wide"><table><thead><tr><th>name</th>{_FIGURES}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _note(comparison: Comparison) -> str:
    return f' <span class="quiet">{escape(comparison.note)}</span>' if comparison.note else ""


def _depth(report: Report) -> str:
    """A chart per precision, since each has its own tolerance; a line per kind of weights."""
    found = [group for group in groups(report.comparisons) if group.stage == DEPTH]
    charts = []
    for precision in dict.fromkeys(group.precision for group in found):
        lines = [group for group in found if group.precision == precision]
        names = list(dict.fromkeys(each.name for group in lines for each in group.comparisons))
        series = [_depth_series(group, names) for group in lines]
        quantity = "relative difference" if precision == "float64" else "error over the reference's own error"
        tolerance = lines[0].comparisons[0].limit
        title = f"{precision}: {quantity} of each tap, in order"
        charts.append(_chart(title, series, log=True, labels=_starts(names), limit=tolerance))
    return "\n".join(charts)


def _depth_series(group: Group, names: Sequence[str]) -> Series:
    by_name = {each.name: each for each in group.comparisons}
    found = [by_name.get(name) for name in names]
    texts = ["" if each is None else f"{each.name}: {figure(each.measured)}" for each in found]
    values = [None if each is None else each.measured for each in found]
    label = f"{group.weight_init} weights" if group.weight_init else "taps"
    return Series(label, values, texts, [each is not None and not each.equal for each in found])


def _starts(names: Sequence[str]) -> list[tuple[int, str]]:
    """Where each block begins: `blocks.0` at the first of `blocks.0.norm`, `blocks.0.attention` ..."""
    labels: dict[str, int] = {}
    for place, name in enumerate(names):
        first, _, rest = name.partition(".")
        second = rest.partition(".")[0]
        labels.setdefault(f"{first}.{second}" if second.isdigit() else first, place)
    return [(place, text) for text, place in labels.items()]


def _steps(report: Report) -> str:
    """The loss of both sides, and how far it is apart."""
    curves = report.curves
    losses = [
        Series(side, list(curves[f"{side} loss"])) for side in ("reference", "candidate") if f"{side} loss" in curves
    ]
    charts = [_chart("loss (nats)", losses, log=False)] if losses else []
    if "loss difference" in curves:
        values, tolerance = list(curves["loss difference"]), _loss_tolerance(report)
        texts = [f"step {step}: {figure(value)}" for step, value in enumerate(values)]
        series = [Series("candidate against reference", values, texts, [not value <= tolerance for value in values])]
        charts.append(_chart("relative difference of the loss", series, log=True, limit=tolerance))
    return "\n".join(charts)


def _loss_tolerance(report: Report) -> float:
    limits = [each.limit for each in report.comparisons if each.stage in RUNS and each.name.startswith("loss")]
    return limits[0] if limits else SEMANTIC.limit


def _chart(title: str, series: Sequence[Series], **axes: Any) -> str:
    drawing = chart(title, series, **axes)
    if not drawing:
        return ""
    zeros = '<p class="quiet">hollow: no difference at all</p>' if 'class="zero"' in drawing else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawing}{zeros}</figure>"
