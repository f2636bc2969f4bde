"""loss.png is drawn from whatever a run has measured so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jaxdec.runs.plot import plot_losses

LINES = [
    {"step": 10, "loss": 3.0},
    {"step": 20, "loss": None},
    {"step": 20, "validation_loss": 2.9},
    {"step": 30, "loss": 2.5},
]


def draw(folder: Path, lines: list[dict[str, Any]], floor: float | None) -> bytes:
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    plot_losses(folder / "metrics.jsonl", folder / "loss.png", floor)
    assert sorted(path.name for path in folder.iterdir()) == ["loss.png", "metrics.jsonl"]
    return (folder / "loss.png").read_bytes()


@pytest.mark.parametrize("lines", [[], LINES[:1], LINES], ids=["nothing", "one-point", "both-curves"])
def test_a_png_is_written(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    assert draw(tmp_path / "run", lines, 1.0).startswith(b"\x89PNG")


def test_every_curve_and_the_floor_are_in_the_picture(tmp_path: Path) -> None:
    pictures = {
        "all": draw(tmp_path / "all", LINES, 1.0),
        "no floor": draw(tmp_path / "no-floor", LINES, None),
        "sweep": draw(tmp_path / "sweep", [*LINES, {"step": 30, "sweep_loss": 2.8}], 1.0),
        "no validation": draw(tmp_path / "no-validation", [line for line in LINES if "loss" in line], 1.0),
        "no training": draw(tmp_path / "no-training", [line for line in LINES if "loss" not in line], 1.0),
    }
    assert len(set(pictures.values())) == len(pictures)
