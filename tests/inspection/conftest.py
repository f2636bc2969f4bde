"""An inspection made of numbers, with labels that a page or a picture could stumble over."""

from __future__ import annotations

import numpy as np
import pytest

from jaxdec.inspection.look import Choices, Predictions
from jaxdec.inspection.text import Inspection

LABELS = ("<script>alert(1)</script>", "\"'&amp;", "␣$x_1$↵", "🙂 1/2", "🙂 2/2", "</script>", "{{data}}")
NAMES = ("<img src=x onerror=alert(2)>", "中", "⟨f0 9f⟩", "\\u202e", "␣", "$", "b")


def numbers(layers: int, heads: int, count: int, labels: tuple[str, ...] | None = None) -> Inspection:
    """Random numbers that fit together: the last layer has a sink and a mixture of 4 experts."""
    rng = np.random.default_rng(0)

    def shares(*shape: int) -> np.ndarray:
        return rng.dirichlet(np.full(shape[-1], 0.3), shape[:-1])

    weights = np.tril(rng.random((layers, heads, count, count)) ** 4)
    weights /= weights.sum(-1, keepdims=True)
    weights[-1] *= 0.75
    tokens = rng.integers(0, len(NAMES), count).astype(np.int32)

    def predictions(*shape: int) -> Predictions:
        probability = shares(*shape, len(NAMES))
        order = np.argsort(-probability, axis=-1)
        after = np.broadcast_to(np.append(tokens[1:], 0), shape)
        true = np.take_along_axis(probability, after[..., None], -1)[..., 0]
        rank = (probability > true[..., None]).sum(-1)
        true[..., -1], rank[..., -1] = np.nan, -1
        return Predictions(order[..., :3], np.take_along_axis(probability, order, -1)[..., :3], true, rank)

    probability = shares(count, 4)
    expert = np.argsort(-probability, axis=-1)[:, :2]
    gate = shares(count, 2)
    dropped = np.zeros((count, 2), bool)
    dropped[1, 1] = True
    return Inspection(
        tokens=tokens,
        attention=weights,
        choices={layers - 1: Choices(expert, gate, dropped, probability)},
        lens=predictions(layers + 1, count),
        next=predictions(count),
        labels=labels or tuple(f"t{n}" for n in range(count)),
        names=dict(enumerate(NAMES)),
        patterns=("full",) * (layers - 1) + ("local, window 16, sink",),
        left_out=0,
        classes=False,
    )


@pytest.fixture(scope="session")
def seen() -> Inspection:
    return numbers(2, 3, len(LABELS), LABELS)
