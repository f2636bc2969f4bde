"""Weights of another size: a vocabulary that grows or loses its padding, a context that is cut or stretched."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import LinearScaling, Position, RoPE
from jaxdec.errors import UserError

NewRows = Literal["mean", "normal"]


def with_tokens(
    array: np.ndarray, axis: int, count: int, known: int, how: NewRows, std: float, seed: int
) -> np.ndarray:
    """An array with `count` tokens along an axis. Those behind the first `known` are padding: where there are more than
    before, each new one is the mean of the known ones, so that it starts as an average token; or drawn from a normal
    distribution."""
    old = array.shape[axis]
    if count <= old:
        return np.take(array, np.arange(count), axis)
    shape = (*array.shape[:axis], count - old, *array.shape[axis + 1 :])
    match how:
        case "mean":
            mean = np.take(array, np.arange(known), axis).mean(axis, keepdims=True, dtype=np.float64)
            new = np.broadcast_to(mean, shape)
        case "normal":
            new = np.random.default_rng(seed).normal(scale=std, size=shape)
        case _:
            raise UserError(f"new rows are 'mean' or 'normal', not {how!r}")
    return np.concatenate([array, new.astype(array.dtype)], axis)


def with_positions(array: np.ndarray, count: int) -> np.ndarray:
    """Learned positions [positions, D] cut to the first `count`, or stretched to as many: the first and the last stay
    where they are, and those between are interpolated linearly."""
    old = len(array)
    if count <= old:
        return array[:count]
    at = np.linspace(0, old - 1, count)
    low = np.minimum(at.astype(int), old - 2) if old > 1 else np.zeros(count, int)
    share = (at - low)[:, None]
    wide = array.astype(np.float64)
    return (wide[low] * (1 - share) + wide[np.minimum(low + 1, old - 1)] * share).astype(array.dtype)


def with_context(config: DecoderConfig, context: int) -> DecoderConfig:
    """A config that knows so many positions. Rotary positions are divided by the factor of a stretch (Chen et al.
    2023). Raises UserError where they have another scaling already, whose settings are a choice."""
    if context <= config.context:
        return replace(config, context=context)
    factor, given = context / config.context, config.position
    position = (
        tuple(_stretched(each, factor) for each in given) if isinstance(given, tuple) else _stretched(given, factor)
    )
    return replace(config, context=context, position=position)


def _stretched(position: Position, factor: float) -> Position:
    match position:
        case RoPE(scaling=None):
            return replace(position, scaling=LinearScaling(factor))
        case RoPE(scaling=LinearScaling() as scaling):
            return replace(position, scaling=LinearScaling(scaling.factor * factor))
        case RoPE():
            raise UserError(
                f"the rotary positions are scaled already ({position.scaling}): a longer context needs other values of "
                "it, which no rule gives"
            )
        case _:
            return position  # learned ones are interpolated; the others are a formula
