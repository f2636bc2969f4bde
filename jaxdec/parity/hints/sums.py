"""What a module adds up: factors and terms on each side, found by least squares."""

from __future__ import annotations

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.hints.evidence import Evidence, Two, last
from jaxdec.parity.hints.identify import Match, residual, size
from jaxdec.parity.report.report import Hint

TERMS = 6  # the last values of the same shape


def sums(evidence: Evidence, name: str) -> list[Hint]:
    """A hint on a module of which both sides hand on sums of the same known terms, each with a factor."""
    found = (compared_sums(name, *place) for place in places(evidence, name))
    return next((hints for hints in found if hints), [])


def places(evidence: Evidence, name: str) -> list[tuple[Two, dict[str, np.ndarray]]]:
    """Everything that differs of what a module hands on, with what it may have been made of."""
    terms: dict[str, np.ndarray] = {}
    if name in evidence.theirs.entered:
        terms["its input"] = evidence.theirs.entered[name]
    found = []
    for inner in evidence.inside(name):
        if (targets := evidence.handed(inner)) is not None:
            found.append((targets, _fitting(terms, targets)))
        terms[inner.removeprefix(name + ".")] = evidence.theirs.left[inner]
    if name in evidence.names:
        found.append((evidence.left(name), _fitting(terms, evidence.left(name))))
    known = [(targets, terms) for targets, terms in found if terms and targets.alike]
    return [(targets, terms) for targets, terms in known if residual(*targets) > tolerances.SEMANTIC.limit]


def _fitting(terms: dict[str, np.ndarray], targets: Two) -> dict[str, np.ndarray]:
    """Terms that can be added, of proportional ones the first; a row for all texts counts as one for each."""
    shape, fitting = targets.reference.shape, {}
    for name, value in terms.items():
        alike = value.shape[-2:] == shape[-2:] and value.ndim == len(shape)
        if alike and all(rows in (1, wanted) for rows, wanted in zip(value.shape, shape, strict=True)):
            whole = np.broadcast_to(value, shape)
            if not any(proportional(whole, other) for other in fitting.values()):
                fitting[name] = whole
    return dict(list(fitting.items())[-TERMS:])


def proportional(a: np.ndarray, b: np.ndarray) -> bool:
    square = float(np.vdot(b, b))
    return not square or residual(np.vdot(b, a) / square * b, a) < 1e-12


def compared_sums(name: str, targets: Two, terms: dict[str, np.ndarray]) -> list[Hint]:
    fits = [fitted(target, terms) for target in targets]
    if any(fit.residual > tolerances.SEMANTIC.limit for fit in fits):
        return []
    theirs, ours = fits
    width = targets.reference.shape[-1]
    differing = [term for term in terms if abs(theirs.options[term] - ours.options[term]) > 1e-9]
    if not differing:
        return []
    embedded = any("embed" in term or last(term) in ("wte", "wpe") for term in differing)
    left_out = any(sorted(round(fit.options[term], 9) for fit in fits) == [0, 1] for term in differing)
    says = [f"{said(fit, list(terms), width)} ({size(fit.residual)})" for fit in fits]
    seam = "embedding scale" if embedded and not left_out else "residual sum"
    text = f"the reference adds {says[0]}, the candidate {says[1]}"
    return [Hint(seam, name, max(fit.residual for fit in fits), text)]


def fitted(target: np.ndarray, terms: dict[str, np.ndarray]) -> Match:
    """The factors of least squares, and what they leave."""
    columns = np.stack([value.ravel() for value in terms.values()], axis=1)
    factors = np.linalg.lstsq(columns, target.ravel(), rcond=1e-10)[0]
    return Match(dict(zip(terms, factors, strict=True)), residual(columns @ factors, target.ravel()))


def said(fit: Match, terms: list[str], width: int) -> str:
    parts = [f"{factor_text(fit.options[term], width)}{term}" for term in terms if abs(fit.options[term]) > 1e-9]
    return " + ".join(parts) or "nothing"


def factor_text(factor: float, width: int) -> str:
    """A factor by what it comes from: 1, the root of the width."""
    if abs(factor - 1) < 1e-9:
        return ""
    for text, known in (("sqrt(width)", width**0.5), ("1/sqrt(width)", width**-0.5)):
        if abs(factor / known - 1) < 1e-9:
            return f"{text} x "
    return f"{factor:.6g} x "
