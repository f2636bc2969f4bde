"""How training went, as charts of a run's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from jaxdec.config.run import RunConfig
from jaxdec.runs.charts import Series, chart
from jaxdec.training.health import UPDATE_RATIO

POINTS = 400  # of a curve; a longer log is thinned out
USUAL_RATIO = 1e-3
BLOCKS = 3  # curves of blocks beside that of all parameters: the first, the middle, the last

Lines = Sequence[Mapping[str, Any]]


def training_curves(lines: Lines, config: RunConfig) -> str:
    """Loss, gradient norm and update ratio over steps, as far as they were logged."""
    losses = {"loss": "training", "validation_loss": "validation", "sweep_loss": "validation, complete sweep"}
    logged = dict.fromkeys(name for line in lines for name in line)
    groups = [name for name in logged if name.startswith(f"{UPDATE_RATIO}/blocks.")]
    chosen = [groups[place * (len(groups) - 1) // (BLOCKS - 1)] for place in range(BLOCKS)] if groups else []
    ratios = {UPDATE_RATIO: "all parameters"} | {name: name.partition("/")[2] for name in chosen}
    charts = [
        _chart("loss (nats per token)", curves(lines, losses), log=False),
        _chart(
            "gradient norm",
            curves(lines, {"gradient_norm": "before clipping"}),
            log=True,
            limit=config.optim.clip_norm,
            limit_name="clipped to",
        ),
        _chart(
            "norm of the update over that of the parameters",
            curves(lines, ratios),
            log=True,
            limit=USUAL_RATIO,
            limit_name="usual",
        ),
    ]
    if not groups and charts[0]:
        charts.append('<p class="quiet">The update ratio was not logged: train with --log.updates true.</p>')
    return "".join(charts)


def curves(lines: Lines, names: Mapping[str, str]) -> list[Series]:
    """A series for each name that was logged, of at most about POINTS points, the last one among them."""
    found = []
    for name, label in names.items():
        points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
        points = points[:: -(-len(points) // POINTS)] + points[-1:] if len(points) > POINTS else points
        if points:
            steps, values = zip(*points, strict=True)
            texts = [f"step {step:,}: {value:.4g}" for step, value in points]
            found.append(Series(label, values, texts, places=steps))
    return found


def _chart(title: str, series: Sequence[Series], **axes: Any) -> str:
    drawing = chart(title, series, **axes) if series else ""
    return f"<figure><figcaption>{escape(title)}, by step</figcaption>{drawing}</figure>" if drawing else ""
