"""What the run of a classifier shows: accuracy.png, its curves, and confusion.png, what test texts were taken for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.files import whole_file
from jaxdec.config.run import RunConfig
from jaxdec.data.labelled import LabelledDataset
from jaxdec.evaluation.classification import ClassLogits, all_logits
from jaxdec.models.functional import Params
from jaxdec.runs.metrics import read_metrics

CURVES = (
    ("accuracy", "training, each step", {"linewidth": 0.8, "alpha": 0.5}),
    ("training_accuracy", "training", {"linewidth": 1.6, "marker": "o", "markersize": 3}),
    ("validation_accuracy", "validation", {"linewidth": 1.6, "marker": "o", "markersize": 3}),
    ("test_accuracy", "test, with its 95 % interval", {"linestyle": "none", "marker": "D", "markersize": 5}),
)
MOST_NUMBERS = 20  # classes of a matrix whose cells are big enough for a number


def write_pictures(
    class_logits: ClassLogits, config: RunConfig, data: LabelledDataset, params: Params, run_dir: Path
) -> None:
    """Both pictures, each whole or not at all."""
    test = data.splits["test"]
    predicted_N = all_logits(class_logits, params, test, config.batch_size).argmax(axis=1)
    matrix = np.zeros((len(data.labels), len(data.labels)), np.int64)
    np.add.at(matrix, (test.labels, predicted_N), 1)
    draw_matrix(matrix, data.labels, run_dir / "confusion.png")
    draw_curves(list(read_metrics(run_dir / "metrics.jsonl")), run_dir / "accuracy.png")


def draw_matrix(matrix: np.ndarray, labels: tuple[str, ...], png: Path) -> None:
    """Rows are the true classes, columns what the model took the texts for; colour is the share of the row."""
    size = min(12.0, 3.2 + 0.6 * len(labels))
    figure, axes = new_figure(size + 0.8, size)
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape) if len(labels) <= MOST_NUMBERS else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{matrix[row, column]:,}", ha="center", va="center", color=colour)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=0 if sum(map(len, labels)) < 30 else 90)
    axes.set_yticks(places, labels)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    right = np.trace(matrix) / matrix.sum()
    axes.set_title(f"{matrix.sum():,} test texts, {100 * right:.1f} % right")
    figure.colorbar(shown, ax=axes, label="share of the row", shrink=0.8)
    save(figure, png)


def draw_curves(lines: list[dict[str, Any]], png: Path) -> None:
    """Accuracy over the steps."""
    figure, axes = new_figure(7, 4.2)
    for name, label, style in CURVES:
        points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
        if points:
            (drawn,) = axes.plot(*zip(*points, strict=True), label=label, **style)
            if name == "test_accuracy":
                last = lines[-1]
                axes.vlines(last["step"], last[f"{name}_low"], last[f"{name}_high"], color=drawn.get_color())
    axes.set_xlabel("step")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save(figure, png)


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    # The object interface: pyplot would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save(figure: Any, png: Path) -> None:
    with whole_file(png) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
