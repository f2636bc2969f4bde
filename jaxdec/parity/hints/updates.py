"""An optimizer's updates from made-up gradients, in samples, and the lengths that make directions fit them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxdec.parity.compare.comparison import norm
from jaxdec.parity.hints.adam import Given
from jaxdec.parity.hints.evidence import Two
from jaxdec.parity.setting import Arrays, Setting
from jaxdec.parity.sides.stages import Sides

ELEMENTS = 48  # of each tensor


class Fit(NamedTuple):
    """Learning rates [steps]; for each step and tensor what multiplies the parameter itself [steps, tensors]; and the
    part of the updates that is not explained."""

    rates: np.ndarray
    decays: np.ndarray
    residual: float


class Sampled(NamedTuple):
    """The names of tensors; what each side is given; and its updates, a sample [n] after each set."""

    names: list[str]
    given: Two
    updates: Two


def observed(sides: Sides, at: Setting, steps: int) -> Sampled:
    """Both optimizers at work on `steps` sets of made-up gradients."""
    sets = sides.transfer.made_up_gradients(at.seed)
    sets = [sets[step % len(sets)] for step in range(steps)]
    ours = [sides.transfer.plan.tangents_to_candidate(grads) for grads in sets]
    start = sides.transfer.weights(at).candidate
    names = list(start)
    tensor = np.concatenate([np.full(min(start[name].size, ELEMENTS), place) for place, name in enumerate(names)])
    moved: Two = Two([], [])
    sides.reference.updates(at, sets, lambda seen: moved.reference.append(sampled(seen, names)))
    sides.candidate.updates(at, ours, lambda seen: moved.candidate.append(sampled(seen, names)))
    first, gives, updates = sampled(start, names), [], []
    for path in moved:
        before = [first, *(first + each for each in path[:-1])]
        updates.append(np.diff([np.zeros_like(first), *path], axis=0))
        gives.append(
            Given(
                [sampled(grads, names) for grads in ours],
                before,
                tensor,
                np.array([norm([norm(value) for value in grads.values()]) for grads in ours]),
                [np.array([norm(grads[name]) for name in names]) for grads in ours],
                np.array([start[name].ndim >= 2 and not name.endswith("bias") for name in names]),
            )
        )
    return Sampled(names, Two(*gives), Two(*updates))


def sampled(arrays: Arrays, names: list[str]) -> np.ndarray:
    """Elements spread evenly over each tensor, side by side."""
    parts = []
    for name in names:
        flat = arrays[name].ravel()
        parts.append(flat[np.linspace(0, flat.size - 1, min(flat.size, ELEMENTS)).astype(int)])
    return np.concatenate(parts)


def fit(given: Given, directions: list[np.ndarray], updates: np.ndarray) -> Fit:
    """update = -rate direction - decay parameter, by least squares: one rate a step, one decay a step and tensor."""
    starts = np.flatnonzero(np.diff(given.tensor, prepend=-1))

    def sums(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts)

    rates, decays, left = [], [], []
    for d, p, u in zip(directions, given.params, updates, strict=False):
        dd, dp, pp, du, pu = (sums(a * b) for a, b in ((d, d), (d, p), (p, p), (d, u), (p, u)))
        share = np.divide(dp, pp, out=np.zeros_like(dp), where=pp > 0)
        weight = dd - share * dp  # of the direction, without what the parameter explains
        rate = -np.sum(du - share * pu) / max(np.sum(weight), 1e-300)
        decay = -np.divide(pu + rate * dp, pp, out=np.zeros_like(pp), where=pp > 0)
        rates.append(rate)
        decays.append(decay)
        left.append(norm(u + rate * d + decay[given.tensor] * p))
    return Fit(np.array(rates), np.array(decays), norm(left) / max(norm(updates[: len(left)]), 1e-300))
