"""Line charts as inline SVG, drawn by matplotlib; the page's style sheet gives them their colours, light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

LARGEST, SMALLEST = 1e150, 1e-200  # beyond them a value stands at the end of the axis: no span of an axis overflows
MARKED = 60  # points of a series that get a mark each; of longer ones only those that are over
LETTERS = 110  # of labels along the horizontal axis
# matplotlib knows no CSS: it draws in these colours, which the variables of the style sheet then replace.
QUIET, GRID, BAD = "#000001", "#000002", "#000003"
SERIES = ("#000010", "#000011", "#000012", "#000013")
VARIABLES = {QUIET: "--quiet", GRID: "--grid", BAD: "--bad", **{name: f"--s{i}" for i, name in enumerate(SERIES)}}
LINES = (("-", 3.0, 0.55), ("--", 1.5, 1.0), ("-", 1.5, 1.0), (":", 1.5, 1.0))  # style, width, opacity of each series
# Text stays text, and the same numbers give the same file.
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "parity",
    "font.family": "sans-serif",
    "font.size": 9,
}


@dataclass(frozen=True)
class Series:
    """`values[i]` stands at `places[i]`, or at place i without any; None leaves a gap. `texts` are shown when the
    pointer rests on a point; `over` are the points to mark as failures."""

    label: str
    values: Sequence[float | None]
    texts: Sequence[str] = ()
    over: Sequence[bool] = ()
    places: Sequence[float] = ()

    def place(self, index: int) -> float:
        return self.places[index] if self.places else index


def chart(
    title: str,
    series: Sequence[Series],
    *,
    log: bool,
    labels: Sequence[tuple[float, str]] | None = None,
    limit: float | None = None,
    limit_name: str = "tolerance",
    log_places: bool = False,
) -> str:
    """An <svg> with a line for each series over its places.

    `labels` are (place, text) along the horizontal axis, thinned out where they are too dense; None numbers it. The
    limit is a horizontal line with a name. On a logarithmic axis a zero is a hollow point at the lower end; NaN and
    infinity are crosses at the upper end. Without any value the text is empty. `log_places`: places, all above zero,
    are spaced by their logarithms; labels are then not thinned out.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    ends = span(series, limit, log=log)
    if ends is None:
        return ""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(9.5, 3.2), frameon=False)
        figure.subplots_adjust(left=0.075, right=0.99, top=0.9, bottom=0.1)
        axes, marks = figure.add_subplot(), []
        frame(axes, ends, log=log)
        across(axes, series, labels, log=log_places)
        if limit:
            axes.axhline(limit, color=BAD, linestyle="--", linewidth=1.2, clip_on=False)
            place = {"xy": (1, limit), "xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.annotate(f"{limit_name} {limit:g}", **place, xytext=(0, 3), ha="right", color=BAD)
        for number, each in enumerate(series):
            draw(axes, each, number % len(SERIES), ends, marks, log=log)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, labelcolor=QUIET)
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return inline(file.getvalue(), title, marks)


def span(series: Sequence[Series], limit: float | None, *, log: bool) -> tuple[float, float] | None:
    """The ends of the vertical axis; None where there is no value."""
    values = [value for each in series for value in each.values if value is not None]
    if not values:
        return None
    shown = [value for value in values if abs(value) < LARGEST]  # False for NaN
    shown += [limit] if limit else []
    if log:
        powers = [math.log10(max(value, SMALLEST)) for value in shown if value > 0] or [0.0]
        return 10.0 ** math.floor(min(powers) - 0.2), 10.0 ** math.ceil(max(powers) + 0.2)
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def frame(axes: Any, ends: tuple[float, float], *, log: bool) -> None:
    """The vertical axis and a grid of horizontal lines."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.patch.set_visible(False)
    axes.set_yscale("log" if log else "linear")
    axes.set_ylim(*ends)
    axes.yaxis.set_major_locator(LogLocator(numticks=8) if log else MaxNLocator(6))
    axes.yaxis.set_minor_locator(NullLocator())
    if log:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"1e{round(math.log10(value))}"))
    axes.grid(axis="y", color=GRID, linewidth=0.8, clip_on=False)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(color=GRID, labelcolor=QUIET, length=4)
    axes.tick_params(axis="y", length=0)


def across(axes: Any, series: Sequence[Series], labels: Sequence[tuple[float, str]] | None, *, log: bool) -> None:
    """The horizontal axis."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    first = min(each.place(0) for each in series if each.values)
    last = max(each.place(len(each.values) - 1) for each in series if each.values)
    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(first / 1.1, last * 1.1)
        axes.set_xticks([place for place, _ in labels or ()], [text for _, text in labels or ()])
        return
    margin = 0.5 if not any(each.places for each in series) else (last - first) * 0.01 or 0.5
    axes.set_xlim(first - margin, last + margin)
    if labels is None:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        return
    kept: list[tuple[float, str]] = []
    for place, text in labels:
        if not kept or (place - kept[-1][0]) * LETTERS >= (last - first + 1) * (len(kept[-1][1]) + len(text) + 4) / 2:
            kept.append((place, text))
    axes.set_xticks([place for place, _ in kept], [text for _, text in kept])


def draw(
    axes: Any, series: Series, number: int, ends: tuple[float, float], marks: list[list[str]], *, log: bool
) -> None:
    """The line, broken where the axis has no place for a value, and the marks, whose texts go to `marks`."""
    low, high = ends
    line: list[float] = []
    kinds: dict[str, list[tuple[float, float, str]]] = {"point": [], "over": [], "zero": [], "cross": []}
    for index, value in enumerate(series.values):
        if value is None:
            line.append(math.nan)
            continue
        finite, zero = math.isfinite(value), log and value <= 0
        at = min(max(value, low), high) if finite else high
        line.append(at if finite and not zero else math.nan)
        over = index < len(series.over) and series.over[index]
        kind = "cross" if not finite else "zero" if zero else "over" if over else "point"
        if kind != "point" or len(series.values) <= MARKED:
            text = series.texts[index] if index < len(series.texts) else f"{value:g}"
            kinds[kind].append((series.place(index), at, text))
    style, width, alpha = LINES[number]
    colour = SERIES[number]
    places = [series.place(index) for index in range(len(line))]
    axes.plot(
        places, line, style, color=colour, linewidth=width, alpha=alpha, label=series.label, clip_on=False, gid="line"
    )
    shapes = {
        "point": {"marker": "o", "markersize": 3.6, "color": colour},
        "over": {"marker": "o", "markersize": 4.6, "color": BAD},
        "zero": {"marker": "o", "markersize": 4.6, "color": QUIET, "markerfacecolor": "none"},
        "cross": {"marker": "x", "markersize": 6.5, "color": BAD, "markeredgewidth": 1.6},
    }
    for kind, points in kinds.items():
        if points:
            places, heights, texts = zip(*points, strict=True)
            gid = f"{kind}-{len(marks)}"
            axes.plot(places, heights, linestyle="none", clip_on=False, zorder=3, gid=gid, **shapes[kind])
            marks.append(list(texts))


def inline(svg: str, title: str, marks: Sequence[Sequence[str]]) -> str:
    """matplotlib's file as a part of a page: nothing that is loaded, no style of its own, no name that another chart
    has too; marks have the class of their kind, and a text each."""

    def marked(group: re.Match[str]) -> str:
        texts = iter(marks[int(group[2])])
        titled = re.sub(r"(<use [^>]*)/>", lambda use: f"{use[1]}><title>{escape(next(texts))}</title></use>", group[3])
        return f'<g class="{group[1]}">{titled}'

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'<g id="(point|over|zero|cross)-(\d+)">(.*?</g>)', marked, svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="line">', '<g class="line">', svg)
    svg = re.sub(r'<g id="[^"]*"/?>', lambda group: "" if "/" in group[0] else "<g>", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub("|".join(VARIABLES), lambda colour: f"var({VARIABLES[colour[0]]})", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
