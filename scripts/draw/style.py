"""One look for all pictures of docs/ladder: size, colours, fonts, and where they are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "ladder"
BLUE, ORANGE, GREEN, RED, GREY = "#2f5d8c", "#d9822b", "#3c8a5a", "#b5443c", "#9aa3ab"


def figure(panels: int = 1, *, width: float = 3.4, height: float = 3.0) -> tuple[Any, list[Any]]:
    """A figure of that many panels in a row, and their axes."""
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False})
    fig, axes = plt.subplots(1, panels, figsize=(width * panels, height), layout="constrained", squeeze=False)
    return fig, list(axes[0])


def save(fig: Any, name: str) -> Path:
    """Writes docs/ladder/NAME.png."""
    path = FOLDER / f"{name}.png"
    fig.savefig(path, dpi=110)
    plt.close(fig)
    print(path)
    return path
