"""docs/stages/classify.png: a classifier's run from a pretrained model, one from nothing, and what its test texts were
taken for. The commands that make the runs stand in docs/stages/classify.md.

    python scripts/draw/classify.py runs/messages/seed1 runs/spam
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import style

from jaxdec.runs.metrics import read_metrics


def curve(axes: Any, run: Path, label: str, colour: str, shift: float) -> None:
    """Validation accuracy on the way, and test accuracy with its interval at the end, `shift` steps aside."""
    lines = list(read_metrics(run / "metrics.jsonl"))
    points = [(line["step"], 100 * line["validation_accuracy"]) for line in lines if "validation_accuracy" in line]
    axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3, label=f"{label}, validation")
    last = json.loads((run / "summary.json").read_text())
    low, test, high = (100 * last[f"test_accuracy{end}"] for end in ("_low", "", "_high"))
    axes.errorbar(last["steps"] + shift, test, yerr=[[test - low], [high - test]], color=colour, marker="D", capsize=3)


def main() -> None:
    pretrained, scratch = map(Path, sys.argv[1:3])
    figure, (left, right) = style.figure(2, width=3.8)
    curve(left, pretrained, "pretrained", style.BLUE, 2)
    curve(left, scratch, "from nothing", style.ORANGE, 7)
    left.set_xlabel("step")
    left.set_ylabel("accuracy, %")
    left.set_title("diamonds: test, with its 95 % interval")
    left.set_ylim(85, 100)
    left.legend(loc="lower left", frameon=False)
    summary = json.loads((pretrained / "summary.json").read_text())
    labels = ("ham", "spam")
    matrix = np.array([[summary[f"test_confusion/{row}/{column}"] for column in labels] for row in labels])
    right.imshow(matrix / matrix.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        colour = "white" if row == column else "black"
        right.text(column, row, f"{matrix[row, column]:.0f}", ha="center", va="center", color=colour)
    right.set_xticks(range(2), labels)
    right.set_yticks(range(2), labels)
    right.set_xlabel("taken for")
    right.set_ylabel("is")
    right.set_title("test texts of the pretrained run")
    style.save(figure, "../stages/classify")


if __name__ == "__main__":
    main()
