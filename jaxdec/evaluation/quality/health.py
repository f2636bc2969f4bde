"""Training health, read from a run's log: how the loss ends, how large gradients and updates are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdec.config.run import RunConfig
from jaxdec.runs.directory import require_run
from jaxdec.runs.metrics import read_metrics
from jaxdec.runs.source import is_run
from jaxdec.training.health import UPDATE_RATIO

END = 0.1  # the share of a log that counts as its end
LABELS = {
    "steps": "steps",
    "loss": "loss, mean of the last tenth",
    "validation_loss": "validation loss",
    "generalization_gap": "validation loss above training loss",
    "gradient_norm": "gradient norm, median of the last tenth",
    UPDATE_RATIO: "update ratio, median of the last tenth",
    "clipped_steps": "share of logged steps with a clipped gradient",
}


def training_health(place: Path | None, step: int) -> dict[str, Any]:
    """`summary` of the log of the run at `place` up to `step`; empty for weights, which have none."""
    if place is None or not is_run(place):
        return {}
    return summary(log_until(place, step), require_run(place))


def log_until(run_dir: Path, step: int) -> list[dict[str, Any]]:
    """The lines of a run's log up to a step: what was known when the checkpoint of that step was saved."""
    return [line for line in read_metrics(run_dir / "metrics.jsonl") if line["step"] <= step]


def summary(lines: Sequence[Mapping[str, Any]], config: RunConfig) -> dict[str, Any]:
    """Of the last tenth of the logged steps: the mean loss and the medians of the gradient norm and of the update ratio
    (where `log.updates` was set). Of all steps: the share whose gradient was clipped. Of the last evaluation: the
    validation loss, and what it lies above the training loss by the same protocol. Empty without a logged step."""
    steps = [line for line in lines if line.get("loss") is not None]
    if not steps:
        return {}
    last = steps[-max(1, round(len(steps) * END)) :]
    found: dict[str, Any] = {"steps": steps[-1]["step"], "loss": statistics.fmean(line["loss"] for line in last)}
    evaluations = [line for line in lines if line.get("validation_loss") is not None]
    if evaluations:
        found["validation_loss"] = evaluations[-1]["validation_loss"]
        if evaluations[-1].get("training_loss") is not None:
            found["generalization_gap"] = evaluations[-1]["validation_loss"] - evaluations[-1]["training_loss"]
    for name in ("gradient_norm", UPDATE_RATIO):
        if values := [line[name] for line in last if line.get(name) is not None]:
            found[name] = statistics.median(values)
    norms = [line["gradient_norm"] for line in steps if line.get("gradient_norm") is not None]
    if norms and config.optim.clip_norm is not None:
        found["clipped_steps"] = sum(norm > config.optim.clip_norm for norm in norms) / len(norms)
    return found
