"""Which norm each side computes: kind, epsilon and its place, variance, scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdec.parity.hints.evidence import Evidence, Two
from jaxdec.parity.hints.identify import compared, every, few_rows, identify
from jaxdec.parity.report.report import Hint

GRID = {
    "kind": ("layer norm", "RMS norm", "unbiased layer norm", "identity"),
    "epsilon": (1e-5, 1e-6, 1e-8, 1e-12, 0.0, 1e-3, float(np.finfo(np.float32).eps), float(np.finfo(np.float64).eps)),
    "place": ("inside", "outside"),
    "scale": ("scale", "1 + scale", "scale - 1", "none"),
    "bias": (True, False),
}
SEAMS = {
    "kind": "norm kind",
    "scale": "norm scale",
    "bias": "bias",
    "place": "epsilon place",
    "epsilon": "norm epsilon",
}
WORDS = {"inside": "epsilon inside the root", "outside": "epsilon outside the root", "none": "no scale"}


def norms(evidence: Evidence, name: str) -> list[Hint]:
    """A hint on a module that has vectors alone and keeps its input's shape."""
    vectors = evidence.own_params(name) if name in evidence.names else {}
    x = evidence.theirs.entered.get(name)
    if x is None or evidence.inside(name) or any(value.shape != x.shape[-1:] for value in vectors.values()):
        return []
    targets = evidence.left(name)
    if not targets.alike or targets.reference.shape != x.shape:
        return []
    return _norm(name, few_rows(x), vectors, Two(*map(few_rows, targets)))


def _norm(name: str, x: np.ndarray, vectors: dict[str, np.ndarray], targets: Two) -> list[Hint]:
    biases = [value for key, value in vectors.items() if key in ("bias", "beta", "b")]
    scales = [value for key, value in vectors.items() if key not in ("bias", "beta", "b")]

    def compute(kind: str, epsilon: float, place: str, scale: str, bias: bool) -> np.ndarray | None:
        if (bias and not biases) or (scale != "none" and not scales):
            return None
        y = normed(x, kind, epsilon, place)
        if scale != "none":
            y = y * (scales[0] + {"scale": 0, "1 + scale": 1, "scale - 1": -1}[scale])
        return y + biases[0] if bias else y

    return compared(name, "the norm", identify(every(GRID), compute, targets), SEAMS, _phrase)


def normed(x: np.ndarray, kind: str, epsilon: float, place: str) -> np.ndarray:
    """x [..., D] by its norm over the last axis, without scale and bias (Ba et al. 2016; Zhang and Sennrich 2019)."""
    if kind == "identity":
        return x
    centred = x if kind == "RMS norm" else x - x.mean(-1, keepdims=True)
    count = x.shape[-1] - (kind == "unbiased layer norm")
    square = (centred**2).sum(-1, keepdims=True) / max(count, 1)
    root = np.sqrt(square + epsilon) if place == "inside" else np.sqrt(square) + epsilon
    with np.errstate(divide="ignore", invalid="ignore"):
        return centred / root


def _phrase(option: str, value: Any) -> str:
    if option == "epsilon":
        return f"epsilon {value:g}"
    if option == "bias":
        return "bias" if value else "no bias"
    return WORDS.get(value, str(value))
