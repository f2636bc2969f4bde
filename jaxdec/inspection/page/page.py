"""Builds the page: its script, its style and its numbers in one file, which asks no network for anything.

Attention is stored as the square roots of the weights in steps of 1/255, the lower triangle alone: 12 layers of 12
heads with 128 tokens take 1.6 MB. A weight near 1 is off by up to 0.004, one near 0.01 by up to 0.0004.
"""

from __future__ import annotations

import base64
import html
import json
import re
from importlib.resources import files
from typing import Any

import numpy as np

from jaxdec.errors import UserError
from jaxdec.inspection.figures import loads
from jaxdec.inspection.text import Inspection

LEVELS = 255
MOST_BYTES = 24_000_000  # of attention; a browser still opens such a page within seconds
SCRIPTS = ("page.js", "predictions.js", "control.js")


def page(seen: Inspection, title: str, about: str, layer: int = 0, head: int = 0) -> str:
    """The whole page. `layer` and `head` are shown first; `about` is a line below the title. Raises UserError where
    there is more attention than a page can show."""
    data = json.dumps(page_data(seen, about, layer, head), allow_nan=False, separators=(",", ":"))
    parts = {
        "title": html.escape(title),
        "css": _part("page.css"),
        "js": "\n".join(map(_part, SCRIPTS)),
        "data": data.replace("<", "\\u003c"),  # nothing in it can end the element
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _part("page.html"))


def page_data(seen: Inspection, about: str, layer: int, head: int) -> dict[str, Any]:
    """What the script reads."""
    attention, sink = seen.attention, seen.sink
    rows, columns = np.tril_indices(len(seen.tokens))
    if attention is not None and (size := attention.shape[0] * attention.shape[1] * len(rows)) > MOST_BYTES:
        fitting = int((2 * MOST_BYTES / (attention.shape[0] * attention.shape[1])) ** 0.5) - 1
        raise UserError(
            f"a page of {len(seen.tokens)} tokens would hold {size:,} weights: up to {fitting} tokens fit; give --most"
        )
    return {
        "about": about,
        "start": {"layer": layer, "head": head},
        "labels": seen.labels,
        "ids": seen.tokens.tolist(),
        "names": {str(token): name for token, name in seen.names.items()},
        "layers": 0 if attention is None else attention.shape[0],
        "heads": 0 if attention is None else attention.shape[1],
        "patterns": seen.patterns,
        "attention": None if attention is None else _packed(np.sqrt(attention[:, :, rows, columns])),
        "sink": _packed(sink) if sink is not None and any("sink" in each for each in seen.patterns) else None,
        "classes": seen.classes,
        "lens": {
            "id": seen.lens.id.tolist(),
            "probability": _rounded(seen.lens.probability),
            "true": _rounded(seen.lens.true),
            "rank": seen.lens.rank.tolist(),
        },
        "routing": {
            str(layer): {
                "expert": each.expert.tolist(),
                "gate": _rounded(each.gate),
                "dropped": each.dropped.tolist(),
                "load": loads(each),
            }
            for layer, each in seen.choices.items()
        }
        or None,
    }


def _packed(values: np.ndarray) -> str:
    """Numbers from 0 to 1 in 8 bits each, as base64."""
    return base64.b64encode(np.rint(np.clip(values, 0, 1) * LEVELS).astype(np.uint8).tobytes()).decode()


def _rounded(values: np.ndarray) -> list[Any]:
    """Four digits after the point; None for what is not a number."""
    digits = np.round(np.asarray(values, np.float64), 4)
    return np.where(np.isnan(digits), None, digits).tolist()  # type: ignore[call-overload]


def _part(name: str) -> str:
    return files("jaxdec.inspection.page").joinpath(name).read_text(encoding="utf-8")
