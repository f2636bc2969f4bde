"""Values that differ only by a constant: a factor, or a vector added to every position."""

from __future__ import annotations

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import norm
from jaxdec.parity.hints.evidence import Evidence
from jaxdec.parity.hints.identify import matches_with, residual, size
from jaxdec.parity.hints.sums import factor_text
from jaxdec.parity.report.report import Hint


def constants(evidence: Evidence, name: str) -> list[Hint]:
    """A hint on what a module returns."""
    true, value = sides = evidence.left(name)
    if name not in evidence.names or not sides.alike or residual(value, true) <= tolerances.SEMANTIC.limit:
        return []  # at fault in what it hands to others
    return factor(name, true, value) or added(evidence, name, true, value)


def factor(name: str, true: np.ndarray, value: np.ndarray) -> list[Hint]:
    if not (value.any() and true.any()):
        return []
    ratio = float(np.vdot(value, true) / np.vdot(value, value))
    if ratio == 0 or (error := residual(ratio * value, true)) > tolerances.SEMANTIC.limit:
        return []
    seam = "embedding scale" if "embed" in name or name.endswith(("wte", "wpe")) else "logit factor"
    times = factor_text(ratio, true.shape[-1]).removesuffix(" x ")
    return [matches_with(seam, name, error, f"{times} times the candidate's")]


def added(evidence: Evidence, name: str, true: np.ndarray, value: np.ndarray) -> list[Hint]:
    """A bias that one side lacks: the candidate's own, or one of which it knows nothing."""
    if true.ndim < 2 or true.size == true.shape[-1] or not true.any():
        return []
    difference = (true - value).reshape(-1, true.shape[-1])
    constant = difference.mean(0)
    error = norm(difference - constant) / norm(true)
    if error > tolerances.SEMANTIC.limit:
        return []
    biases = [bias for bias in evidence.own_params(name).values() if bias.shape == constant.shape]
    lacks = any(residual(-constant, bias) < 1e-9 for bias in biases)
    if lacks:
        text = f"matches at {size(error)} without the candidate's bias, which the reference lacks"
        return [Hint("bias", name, error, text)]
    return [matches_with("bias", name, error, "a vector that the reference alone adds to every position")]
