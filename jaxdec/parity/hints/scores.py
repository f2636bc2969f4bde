"""How each side computes logits: with which table, which factor and which cap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.hints.evidence import Evidence
from jaxdec.parity.hints.identify import Match, Options, compared, nearer, residual
from jaxdec.parity.locate.replay import WHOLE
from jaxdec.parity.report.report import Hint

SEAMS = {"by": "tied head", "cap": "soft cap", "factor": "logit factor"}


def scores(evidence: Evidence, name: str) -> list[Hint]:
    """A hint on the logits, where they differ though the module before them does not."""
    targets = evidence.logits
    if name != WHOLE or not targets.alike or residual(*targets) <= tolerances.SEMANTIC.limit:
        return []
    found: list[Match | None] = [None, None]
    for label, raw in products(evidence):
        if raw.shape == targets.reference.shape and raw.any():
            for side, target in enumerate(targets):
                for options, value in predictions(label, raw, target):
                    found[side] = found[side] or nearer(None, options, value, target)  # the plainest that fits
    return compared(WHOLE, "the logits", (found[0], found[1]), SEAMS, phrase)


def products(evidence: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """The last module's result, and its products with every matrix that fits."""
    if not evidence.names:
        return
    x = evidence.theirs.left[evidence.names[-1]]
    yield evidence.names[-1], x
    vocab = evidence.logits.reference.shape[-1]
    for name, value in evidence.params.items():
        if value.shape == (vocab, x.shape[-1]):
            yield name, x @ value.T
        if value.shape == (x.shape[-1], vocab):
            yield name, x @ value


def predictions(label: str, raw: np.ndarray, target: np.ndarray) -> Iterator[tuple[Options, np.ndarray]]:
    """As they are, and with the factor or the cap that comes nearest to the target."""
    plain = {"by": label, "factor": 1.0, "cap": None}
    yield plain, raw
    factor = float(np.vdot(raw, target) / np.vdot(raw, raw))
    yield {**plain, "factor": factor}, factor * raw
    if (cap := solved_cap(raw, target)) is not None:
        yield {**plain, "cap": cap}, cap * np.tanh(raw / cap)


def solved_cap(raw: np.ndarray, target: np.ndarray) -> float | None:
    """c in target = c tanh(raw / c), from the element where the cap does most; None where it does nothing."""
    place = np.argmax(np.abs(raw))
    x, y = abs(float(raw.flat[place])), abs(float(target.flat[place]))
    if not 0 < y < x * (1 - 1e-9):
        return None
    low, high = y, 1e6 * x  # c tanh(x / c) rises with c
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if middle * np.tanh(x / middle) < y else (low, middle)
    return high


def phrase(option: str, value: Any) -> str:
    if option == "by":
        return f"by {value}"
    if option == "cap":
        return "no soft cap" if value is None else f"c tanh(x / c) with c = {value:.6g}"
    return f"times {value:.6g}"
