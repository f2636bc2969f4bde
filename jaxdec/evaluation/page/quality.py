"""The measures of the suite `quality`: samples beside held-out text, with a picture of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from jaxdec.evaluation.quality.measures import HEADINGS, MEASURES

SIDES = ("samples", "held_out")
FAR = 3.0  # standard errors from which on a difference is pointed out
WIDTH, HEIGHT = 150, 26  # of the picture in a row
READING = """Each figure with its standard error over samples. In the picture the bar is held-out text and the point the
samples, two standard errors to each side. The difference is in standard errors; one of more than three is marked: there
the samples are unlike held-out text, which may be worse or only other."""


def quality_section(values: Mapping[str, Any]) -> str:
    left_out = f"<p>Left out: {escape(values['left_out'])}.</p>" if "left_out" in values else ""
    tables = "".join(_table(title, values[heading]) for heading, title in HEADINGS.items() if heading in values)
    return f'<p class="quiet">{READING}</p>{left_out}{tables}'


def _table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    head = '<th>measure</th><th class="n">samples</th><th class="n">held-out</th><th></th><th class="n">difference</th>'
    body = "".join(_row(name, row) for name, row in rows.items())
    table = f"<table class='measures'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<h3>{title}</h3><div class="wide">{table}</div>'


def _row(name: str, row: Mapping[str, Any]) -> str:
    measure = MEASURES[name]
    figures = [measure.shown(row[side], row[f"{side}_standard_error"]) if side in row else "" for side in SIDES]
    cells = "".join(f'<td class="n">{each}</td>' for each in figures)
    label = f'{escape(measure.label)}<br><span class="quiet">{escape(measure.about)}</span>'
    picture = _picture(row, share=measure.share)
    return f'<tr><td>{label}</td>{cells}<td>{picture}</td><td class="n">{_difference(row)}</td></tr>'


def _difference(row: Mapping[str, Any]) -> str:
    """How many standard errors lie between the two."""
    if not all(side in row for side in SIDES):
        return ""
    difference = row["samples"] - row["held_out"]
    errors = [row[f"{side}_standard_error"] for side in SIDES]
    if difference == 0:
        return '<span class="quiet">none</span>'
    if None in errors:
        return '<span class="quiet">error not known</span>'
    if not any(errors):
        return '<span class="bad">in every sample</span>'
    far = difference / math.hypot(*errors)
    return f'<span class="{"bad" if abs(far) > FAR else "quiet"}">{far:+.1f}</span>'


def _picture(row: Mapping[str, Any], *, share: bool) -> str:
    """An <svg> with the two figures on one axis of its own."""
    if not all(side in row for side in SIDES):
        return ""
    ranges = {side: _range(row[side], row[f"{side}_standard_error"] or 0, share=share) for side in SIDES}
    low, high = min(ends[0] for ends in ranges.values()), max(ends[1] for ends in ranges.values())
    margin = (high - low) * 0.12 or 0.01
    low, high = low - margin, high + margin

    def at(value: float) -> str:
        return f"{(value - low) / (high - low) * WIDTH:.1f}"

    middle = HEIGHT / 2
    start, end = ranges["held_out"]
    bar = max(2.0, float(at(end)) - float(at(start)))
    left, right = map(at, ranges["samples"])
    return (
        f'<svg class="pair" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{middle}" y2="{middle}"/>'
        f'<rect x="{at(start)}" y="5" width="{bar:.1f}" height="{HEIGHT - 10}"/>'
        f'<line class="spread" x1="{left}" x2="{right}" y1="{middle}" y2="{middle}"/>'
        f'<circle cx="{at(row["samples"])}" cy="{middle}" r="4"/></svg>'
    )


def _range(value: float, error: float, *, share: bool) -> tuple[float, float]:
    low, high = value - 2 * error, value + 2 * error
    return (max(low, 0.0), min(high, 1.0)) if share else (low, high)
