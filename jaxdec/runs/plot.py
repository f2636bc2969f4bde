"""loss.png: the training and validation loss of a run over its steps, and the entropy floor where it is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxdec.config.files import whole_file
from jaxdec.runs.metrics import read_metrics

CURVES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("loss", "training", {"linewidth": 0.8, "alpha": 0.6}),
    ("validation_loss", "validation", {"linewidth": 1.6, "marker": "o", "markersize": 3}),
    ("sweep_loss", "validation, complete sweep", {"linestyle": "none", "marker": "D", "markersize": 5}),
)


def plot_losses(metrics_jsonl: Path, png: Path, floor: float | None, unit: str = "nats per token") -> None:
    """Draws the losses that `metrics_jsonl` holds, in `unit`, into `png`, whole or not at all.

    `floor`: the best loss that any model can reach on the validation split, in `unit`; None where it is not known.
    """
    # The object interface: pyplot would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = list(read_metrics(metrics_jsonl))
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, label, style in CURVES:
        points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)
    if floor is not None:
        axes.axhline(floor, color="black", linestyle="--", linewidth=1, label=f"entropy floor {floor:.4f}")
    axes.set_xlabel("step")
    axes.set_ylabel(f"loss ({unit})")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    with whole_file(png) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
