"""Null directions: elements of parameters that cannot change the output.

A key bias without rotary positions adds the same to all scores of a query, which the softmax removes. Its gradient is
exactly zero in theory and rounding noise in both frameworks, which Adam turns into steps of any sign. Such elements are
found by their size, named in the report, and held to tolerances of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Comparison, distance, norm, norm_of_all, relative
from jaxdec.parity.setting import Arrays

Masks = Mapping[str, np.ndarray]  # True where an element is null


def null_masks(ours: Arrays, theirs: Arrays) -> dict[str, np.ndarray]:
    """From the float64 gradients of both sides: what is noise on both, and not exactly zero on both, for the parameters
    that have such elements."""
    most = tolerances.NULL_GRADIENT.limit * norm_of_all(theirs)
    masks = {}
    for name, value in theirs.items():
        if ours[name].shape == value.shape:
            size = np.maximum(np.abs(ours[name]), np.abs(value))
            mask = (size > 0) & (size <= most)
            if mask.any():
                masks[name] = mask
    return masks


def noise_masks(ours: Arrays, theirs: Arrays) -> dict[str, np.ndarray]:
    """Elements that are not null, but so small that rounding decides more of their gradient than the tolerance allows:
    Adam divides a gradient by its own size, so that noise of 1e-16 in an element near its epsilon is 1e-8 of a step."""
    small, null, masks = 1e-6 * norm_of_all(theirs), null_masks(ours, theirs), {}
    for name, value in theirs.items():
        if ours[name].shape == value.shape:
            apart = np.abs(ours[name] - value)
            mask = (np.abs(value) <= small) & (apart > tolerances.SEMANTIC.limit * np.abs(value))
            mask &= ~null.get(name, np.zeros_like(mask))
            if mask.any():
                masks[name] = mask
    return masks


def wholly_null(masks: Masks, ours: Arrays, theirs: Arrays) -> set[str]:
    """Parameters of which every element is null or exactly zero, on both sides."""
    return {name for name, mask in masks.items() if not (theirs[name][~mask].any() or ours[name][~mask].any())}


def describe(masks: Masks) -> list[str]:
    return [
        f"null direction: {name}" + ("" if mask.all() else f" ({mask.sum()} of {mask.size} elements)")
        for name, mask in masks.items()
    ]


def compare_gradients(stage: str, ours: Arrays, theirs: Arrays, masks: Masks) -> list[Comparison]:
    """Relative, but for parameters that are null, whose size beside all gradients is what counts."""
    null, whole = wholly_null(masks, ours, theirs), norm_of_all(theirs)
    found = relative(stage, _without(ours, null), _without(theirs, null), tolerances.SEMANTIC)
    for name in null:
        size = max(norm(ours[name]), norm(theirs[name])) / whole
        found.append(Comparison(stage, f"{name} (null)", size, tolerances.NULL_GRADIENT.limit))
    return found


def compare_updates(
    stage: str, ours: Arrays, theirs: Arrays, null: Masks, noise: Masks, label: str = ""
) -> list[Comparison]:
    """Relative where gradients are no noise; the other elements may differ by what Adam makes of noise. How far they
    move together says nothing: weight decay moves them."""
    whole, found = norm_of_all(theirs), []
    for name, reached in theirs.items():
        kinds = {kind: masks[name] for kind, masks in (("null", null), ("noise", noise)) if name in masks}
        hidden = np.any([*kinds.values()], axis=0) if kinds else np.zeros((), bool)
        if not hidden.all():
            moved, true = ({name + label: np.where(hidden, 0, side[name])} for side in (ours, theirs))
            found += relative(stage, moved, true, tolerances.SEMANTIC)
        for kind, mask in kinds.items():
            apart = distance(ours[name][mask], reached[mask]) / whole if whole else 0.0
            found.append(Comparison(stage, f"{name}{label} ({kind})", apart, tolerances.NULL_UPDATE.limit))
    return found


def without_null(tensors: Arrays, masks: Masks) -> Arrays:
    """Null elements set to zero; parameters that are null as a whole left out."""
    left = {name: value for name, value in tensors.items() if name not in masks or not masks[name].all()}
    return {name: np.where(masks[name], 0, value) if name in masks else value for name, value in left.items()}


def _without(tensors: Arrays, names: set[str]) -> Arrays:
    return {name: value for name, value in tensors.items() if name not in names}
