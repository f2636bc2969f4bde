"""The scores of a classifier as tables: scores by split, and what test texts were taken for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCORES = ("loss", "accuracy", "precision", "recall", "f1", "auroc")
SPLITS = ("training", "validation", "test")
MOST_CLASSES = 10  # of a matrix that fits on a terminal


def split_scores(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The scores of a classifier among values, and the rest. No scores where these are not a classifier's."""
    if "test_accuracy_low" not in values:
        return {}, dict(values)
    names = tuple(f"{split}_{score}" for split in SPLITS for score in (*SCORES, "confusion/"))
    scores = {name: value for name, value in values.items() if name.startswith(names)}
    return scores, {name: value for name, value in values.items() if name not in scores}


def show_scores(scores: Mapping[str, float]) -> None:
    """Prints a line per score with its 95 % interval, a column per split; and the test split's confusion matrix."""
    print(f"\n  {'':<12}" + "".join(f"{split:<28}" for split in SPLITS).rstrip())
    for score in SCORES:
        cells = [_cell(score, *(scores[f"{split}_{score}{end}"] for end in ("", "_low", "_high"))) for split in SPLITS]
        print(f"  {score:<12}" + "".join(f"{cell:<28}" for cell in cells).rstrip())
    print("  in brackets: 95 % intervals (docs/stages/classify.md says of which kind)")
    cells = {
        tuple(name.split("/")[1:]): int(value) for name, value in scores.items() if name.startswith("test_confusion/")
    }
    labels = list(dict.fromkeys(row for row, *_ in cells))
    if not labels or len(labels) > MOST_CLASSES or len(cells) != len(labels) ** 2:
        return
    width = max(8, *(len(label) + 2 for label in labels))
    print(f"\n  test texts: rows are what they are, columns what they were taken for\n  {'':<{width}}", end="")
    print("".join(f"{label:>{width}}" for label in labels))
    for row in labels:
        print(f"  {row:<{width}}" + "".join(f"{cells[row, column]:>{width},}" for column in labels))


def _cell(score: str, value: float, low: float, high: float) -> str:
    if score in ("loss", "auroc"):
        return f"{value:.4f} ({low:.4f} - {high:.4f})"
    return f"{100 * value:.2f} % ({100 * low:.1f} - {100 * high:.1f})"
