"""preference.png of a run: how far the answers have come apart, and what became of their probabilities."""

from __future__ import annotations

from pathlib import Path

from jaxdec.config.files import whole_file
from jaxdec.runs.metrics import read_metrics

PANELS = (  # title, and the names in the log of training and of validation, with a label each
    (
        "implicit rewards",
        (
            ("margin", "margin, training"),
            ("validation_margin", "margin, validation"),
            ("validation_reward_accuracy", "share of pairs won, validation"),
        ),
    ),
    (
        "log-probability of an answer (nats)",
        (
            ("chosen_log_probability", "chosen, training"),
            ("validation_chosen_log_probability", "chosen, validation"),
            ("rejected_log_probability", "rejected, training"),
            ("validation_rejected_log_probability", "rejected, validation"),
        ),
    ),
)
COLOURS = {"margin": "C0", "reward_accuracy": "C2", "chosen_log_probability": "C0", "rejected_log_probability": "C1"}


def plot_preferences(metrics_jsonl: Path, png: Path) -> None:
    """Draws what `metrics_jsonl` holds into `png`, whole or not at all: training as lines, validation as points."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = list(read_metrics(metrics_jsonl))
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, curves) in zip(figure.subplots(1, 2), PANELS, strict=True):
        for name, label in curves:
            points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
            if points:
                validation = name.startswith("validation_")
                look = {"marker": "o", "markersize": 4} if validation else {"linewidth": 0.8, "alpha": 0.6}
                colour = COLOURS[name.removeprefix("validation_")]
                axes.plot(*zip(*points, strict=True), label=label, color=colour, **look)
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    with whole_file(png) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
