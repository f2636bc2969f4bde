"""An inspection as pictures: a grid of heads for each layer, the logit lens, the experts of each token."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdec.config.files import whole_file
from jaxdec.inspection.text import Inspection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

READABLE = 5.5  # points: where labels would be smaller, the picture of a head has numbers
LINE = 32  # tokens side by side in the pictures of lens and routing
COLOURS = "Blues"
MARGIN = 6  # characters of a label


def draw_attention(seen: Inspection, layer: int, heads: Sequence[int], png: Path) -> None:
    """The heads of a layer side by side: rows are queries, columns keys. Colours go by the weights' square roots."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import PowerNorm

    assert seen.attention is not None
    count = len(seen.tokens)
    columns = min(4, len(heads))
    rows = -(-len(heads) // columns)
    side = 6.5 if len(heads) == 1 else 3.4
    figure = _figure(columns * side + 0.8, rows * side + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    scale = ScalarMappable(PowerNorm(0.5, 0, 1), COLOURS)
    for place, (axes, head) in enumerate(zip(grid.flat, heads, strict=False)):
        weights_TS = np.where(np.tri(count, dtype=bool), seen.attention[layer, head], np.nan)
        axes.imshow(weights_TS, cmap=COLOURS, norm=scale.norm, interpolation="nearest")
        axes.set_title(f"head {head}", fontsize=10)
        _head_ticks(axes, seen.labels, min(8.0, side * 45 / count), top=place < columns, left=place % columns == 0)
    for axes in list(grid.flat)[len(heads) :]:
        axes.set_axis_off()
    figure.suptitle(f"layer {layer}: attention weights ({seen.patterns[layer]})", fontsize=11)
    figure.colorbar(
        scale, ax=list(grid.flat), shrink=0.6 if rows > 1 else 0.8, label="weight", ticks=[0, 0.1, 0.25, 0.5, 1]
    )
    _save(figure, png)


def draw_lens(seen: Inspection, png: Path) -> None:
    """A row for each layer, a column for each token: the likeliest next token, coloured by its probability."""
    stages = ["embeddings", *(f"after layer {layer}" for layer in range(len(seen.lens.id) - 1))]
    figure, lines = _lines(seen, len(stages))
    width = min(len(seen.tokens), LINE)
    for axes, start, stop in lines:
        values = np.full((len(stages), width), np.nan)
        values[:, : stop - start] = seen.lens.probability[:, start:stop, 0]
        axes.imshow(values, cmap=COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        for row in range(len(stages)):
            for token in range(start, stop):
                name, value = seen.names[int(seen.lens.id[row, token, 0])], values[row, token - start]
                right = seen.lens.rank[row, token] == 0
                _write(axes, token - start, row, name, value, bold=bool(right))
        axes.set_yticks(range(len(stages)), stages, fontsize=8)
        _token_ticks(axes, seen.labels[start:stop], 8)
    what = "the likeliest class" if seen.classes else "the likeliest next token (bold: it does come next)"
    figure.suptitle(f"logit lens: {what}", fontsize=11)
    _colour_bar(figure, [axes for axes, *_ in lines], "probability")
    _save(figure, png)


def draw_routing(seen: Inspection, png: Path) -> None:
    """For each layer with a mixture: which experts a token goes to, coloured by the weight of what they return."""
    experts = [(layer, each.probability.shape[1]) for layer, each in seen.choices.items()]
    names = [f"layer {layer}, expert {expert}" for layer, number in experts for expert in range(number)]
    figure, lines = _lines(seen, len(names))
    width = min(len(seen.tokens), LINE)
    for axes, start, stop in lines:
        values, first = np.full((len(names), width), np.nan), 0
        for (_, number), each in zip(experts, seen.choices.values(), strict=True):
            for token in range(start, stop):
                values[first + each.expert[token], token - start] = each.gate[token]
                for expert, gone in zip(each.expert[token], each.dropped[token], strict=True):
                    if gone:
                        _write(axes, token - start, first + expert, "✕", 0.0)
            first += number
            axes.axhline(first - 0.5, color="0.6", linewidth=0.8)
        axes.imshow(values, cmap=COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_xticks(np.arange(-0.5, stop - start), minor=True)
        axes.set_yticks(np.arange(-0.5, len(names)), minor=True)
        axes.grid(which="minor", color="0.9", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
        _token_ticks(axes, seen.labels[start:stop], 8)
    figure.suptitle("experts of each token (✕: dropped)", fontsize=11)
    _colour_bar(figure, [axes for axes, *_ in lines], "weight of the expert")
    _save(figure, png)


def _lines(seen: Inspection, rows: int) -> tuple[Figure, list[tuple[Axes, int, int]]]:
    """A figure with the text cut into lines: (axes, first token, end) of each."""
    count = len(seen.tokens)
    lines = -(-count // LINE)
    figure = _figure(3 + 0.4 * min(max(count, 8), LINE), 0.6 + lines * (0.75 + 0.26 * rows))
    grid = figure.subplots(lines, 1, squeeze=False)
    for axes in grid.flat:
        axes.spines[:].set_visible(False)  # the last line may be shorter
    return figure, [(axes, line * LINE, min(count, (line + 1) * LINE)) for line, axes in enumerate(grid.flat)]


def _colour_bar(figure: Figure, beside: list[Axes], label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    figure.colorbar(ScalarMappable(Normalize(0, 1), COLOURS), ax=beside, label=label, fraction=0.02, pad=0.01)


def _write(axes: Axes, x: int, y: int, name: str, value: float, bold: bool = False) -> None:
    axes.text(
        x,
        y,
        printable(name),
        ha="center",
        va="center",
        fontsize=7,
        color="white" if value > 0.55 else "black",
        fontweight="bold" if bold else "normal",
        parse_math=False,
        clip_on=True,
    )


def _token_ticks(axes: Axes, labels: Sequence[str], size: float) -> None:
    """Tokens along the top."""
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=2)
    shown = [printable(label) for label in labels]
    turned = 90 if max(map(len, shown)) > 1 else 0
    axes.set_xticks(range(len(labels)), shown, fontsize=size, rotation=turned, parse_math=False)


def _head_ticks(axes: Axes, labels: Sequence[str], size: float, *, top: bool, left: bool) -> None:
    """Tokens along the top of the first row of heads and at the left of the first column; numbers where there are too
    many. Labels are most of the time that a picture takes."""
    if size < READABLE:
        axes.tick_params(top=True, labeltop=top, bottom=False, labelbottom=False, labelleft=left, length=2)
        return
    if top:
        _token_ticks(axes, labels, size)
    else:
        axes.set_xticks([])
    axes.set_yticks(range(len(labels)) if left else [], list(map(printable, labels)) if left else [])
    axes.tick_params(axis="y", labelsize=size, length=2)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)


def printable(label: str) -> str:
    """A label that matplotlib's font can draw, cut to a few characters: others are given by their code point."""
    known = _glyphs()
    text = "".join(each if ord(each) in known else f"U+{ord(each):X}" for each in label)
    return text if len(text) <= MARGIN + 2 else text[:MARGIN] + "…"


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def _figure(width: float, height: float) -> Figure:
    # The object interface: pyplot would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, png: Path) -> None:
    with whole_file(png) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
