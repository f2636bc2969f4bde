"""Line charts as inline SVG: no script, no font and colour from elsewhere; the page's style sheet has the colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 270
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 40
MARKS_UP_TO = 60  # points of a series; beyond it only those that fail get a mark
LARGEST = 1e150  # beyond it a value stands at the end of the axis: no span of the axis overflows
LABEL_SPACE = 74  # between labels of the horizontal axis


@dataclass(frozen=True)
class Series:
    """`values[i]` stands at place i; None leaves a gap. `texts` are shown when the pointer rests on a point."""

    label: str
    values: Sequence[float | None]
    texts: Sequence[str] = ()
    over: Sequence[bool] = ()


@dataclass(frozen=True)
class Axis:
    """The vertical axis: from `low` to `high`, in powers of ten where `log` is on."""

    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """Pixels from the top. What lies beyond the axis goes to its ends, NaN and infinity to the upper one."""
        if not math.isfinite(value) or value >= self.high:
            return TOP
        if value <= self.low:
            return HEIGHT - BOTTOM
        low, high, at = (map(math.log10, (self.low, self.high, value))) if self.log else (self.low, self.high, value)
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - at) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        if self.log:
            low, high = round(math.log10(self.low)), round(math.log10(self.high))
            every = math.ceil((high - low) / 8)
            return [(10.0**power, f"1e{power}") for power in range(low, high + 1, every)]
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [((first + i) * step, f"{(first + i) * step:.6g}") for i in range(count)]


def chart(
    title: str, series: Sequence[Series], *, log: bool, labels: Sequence[tuple[int, str]], tolerance: float | None
) -> str:
    """An <svg>. `labels`: (place, text) along the horizontal axis, thinned out where they are too dense; `tolerance`: a
    horizontal line. A chart without a single number to show is an empty text."""
    count = max((len(each.values) for each in series), default=0)
    shown = [value for each in series for value in each.values if value is not None and abs(value) < LARGEST]
    if not any(value > 0 for value in shown) and log:
        shown.append(tolerance / 10 if tolerance else 1.0)
    if not shown or not count:
        return ""
    axis = _axis([*shown, *([tolerance] if tolerance else [])], log)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_grid(axis),
        *_labels(labels, count),
    ]
    if tolerance:
        y = axis.place(tolerance)
        parts.append(f'<line class="tolerance" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        place = f'x="{WIDTH - RIGHT}" y="{y - 5:.1f}" text-anchor="end"'
        parts.append(f'<text class="tolerance" {place}>tolerance {tolerance:g}</text>')
    for number, each in enumerate(series):
        parts += _series(each, number, axis, count)
    return "\n".join([*parts, "</svg>"])


def legend(series: Sequence[Series]) -> str:
    """A sample of each line with its name, as HTML."""
    items = (
        f'<span class="key"><svg viewBox="0 0 30 10" width="30" height="10"><path class="line s{number}" d="M1 5H29"/>'
        f"</svg>{escape(each.label)}</span>"
        for number, each in enumerate(series)
    )
    return f'<div class="legend">{"".join(items)}</div>'


def _axis(values: Sequence[float], log: bool) -> Axis:
    if log:
        positive = [math.log10(value) for value in values if value > 0]
        low = max(math.floor(min(positive) - 0.2), -300)
        high = max(math.ceil(max(positive) + 0.2), low + 1)
        return Axis(10.0**low, 10.0**high, True)
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return Axis(low - margin, high + margin, False)


def _grid(axis: Axis) -> list[str]:
    parts = []
    for value, text in axis.ticks():
        y = axis.place(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    return parts


def _labels(labels: Sequence[tuple[int, str]], count: int) -> list[str]:
    parts, free, y = [], -math.inf, HEIGHT - BOTTOM
    for place, text in labels:
        x = _x(place, count)
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 5}"/>')
        if x >= free:
            anchor = "end" if x > WIDTH - RIGHT - len(text) * 3 else "middle"
            parts.append(f'<text x="{x:.1f}" y="{y + 19}" text-anchor="{anchor}">{escape(text)}</text>')
            free = x + max(LABEL_SPACE, len(text) * 7)
    return parts


def _series(series: Series, number: int, axis: Axis, count: int) -> list[str]:
    """The line, broken where the axis has no place for a value, and a mark for each point: hollow for a zero on a
    logarithmic axis, a cross for what is not finite."""
    line, pen, marks = [], "M", []
    for place, value in enumerate(series.values):
        if value is None:
            pen = "M"
            continue
        x, y, finite = _x(place, count), axis.place(value), math.isfinite(value)
        hollow = axis.log and value <= 0
        if finite and not hollow:
            line.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L" if finite and not hollow else "M"
        over = not finite or (place < len(series.over) and series.over[place])
        if over or hollow or len(series.values) <= MARKS_UP_TO:
            text = series.texts[place] if place < len(series.texts) else f"{value:g}"
            marks.append(_mark(x, y, number, over, finite, hollow=hollow, text=text))
    return [f'<path class="line s{number}" d="{"".join(line)}"/>', *marks]


def _mark(x: float, y: float, number: int, over: bool, finite: bool, *, hollow: bool, text: str) -> str:
    kind = f"s{number}" + " over" * over + " hollow" * hollow
    if finite:
        shape = f'<circle class="mark {kind}" cx="{x:.1f}" cy="{y:.1f}" r="{3.2 if over else 2.6}">'
        return f"{shape}<title>{escape(text)}</title></circle>"
    cross = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
    return f'<path class="cross" d="{cross}"><title>{escape(text)}</title></path>'


def _x(place: int, count: int) -> float:
    inner = 12  # the first and the last point stand clear of the frame
    return LEFT + inner + (WIDTH - LEFT - RIGHT - 2 * inner) * (place / (count - 1) if count > 1 else 0.5)


def _round_step(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
