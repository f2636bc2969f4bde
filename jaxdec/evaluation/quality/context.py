"""What a longer context buys: the loss of the same targets with ever more of the text before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxdec.evaluation.quality.estimate import Estimate, mean
from jaxdec.models.functional import Model, Params
from jaxdec.training.losses import token_losses


def context_lengths(longest: int) -> list[int]:
    """1, 2, 4 ... and the longest.

    >>> context_lengths(6)
    [1, 2, 4, 6]
    """
    powers = [1 << power for power in range(longest.bit_length()) if 1 << power < longest]
    return [*powers, longest]


def losses_by_context(
    model: Model, params: Params, tokens: np.ndarray, longest: int, targets: int, tokens_at_once: int
) -> dict[int, np.ndarray]:
    """{tokens of context: the loss in nats of each target [targets]}.

    tokens: ids of held-out text, more than `longest`. The targets are up to `targets` tokens, spread evenly over those
    that have `longest` tokens before them. A context is cut, not hidden: the model reads a text that begins there.
    tokens_at_once: about how many tokens one call reads.
    """
    count = min(targets, len(tokens) - longest)
    places = np.linspace(longest, len(tokens) - 1, count).astype(int)

    @jax.jit
    def last_losses(params: Params, read: jax.Array, target: jax.Array) -> jax.Array:
        logits_BV = model.read(params, {"tokens": read}).logits_BTV[:, -1:]
        return token_losses(logits_BV, target[:, None])[:, 0]

    found = {}
    for length in context_lengths(longest):
        rows = max(1, tokens_at_once // length)
        parts = []
        for first in range(0, count, rows):
            chosen = np.resize(places[first : first + rows], min(rows, count))  # the last call is filled up
            read = np.asarray(tokens[chosen[:, None] + np.arange(-length, 0)], np.int32)
            parts.append(np.asarray(last_losses(params, read, np.asarray(tokens[chosen], np.int32))))
        found[length] = np.concatenate(parts)[:count].astype(np.float64)
    return found


def gains(losses: Mapping[int, np.ndarray]) -> dict[str, dict[str, Any]]:
    """By context: the mean loss, and how much lower it is than with the context before (`gain`), with standard errors
    over targets. The targets are the same, so the error of a gain is that of the paired differences."""
    found: dict[str, dict[str, Any]] = {}
    before: np.ndarray | None = None
    for length, values in losses.items():
        row = with_error("loss", mean(values.tolist()))
        if before is not None:
            row |= with_error("gain", mean((before - values).tolist()))
        found[str(length)] = row
        before = values
    return found


def with_error(name: str, estimate: Estimate | None) -> dict[str, Any]:
    """{name: ..., name_standard_error: ...}; empty for None."""
    return {} if estimate is None else {name: estimate.value, f"{name}_standard_error": estimate.error}
