"""The function between the projections of a feed-forward layer: which activation, and what it gates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxdec.parity.hints.evidence import Evidence, Finish, Two, last, role_of
from jaxdec.parity.hints.identify import compared, few_rows, identify
from jaxdec.parity.report.report import Hint

SEAMS = {"order": "gate and up", "activation": "activation"}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))  # overflows nowhere


_erf = np.vectorize(math.erf, otypes=[float])

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "GELU by tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "exact GELU": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "SiLU": lambda x: x * sigmoid(x),
    "ReLU": lambda x: np.maximum(x, 0),
    "quick GELU": lambda x: x * sigmoid(1.702 * x),
    "squared ReLU": lambda x: np.maximum(x, 0) ** 2,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "leaky ReLU": lambda x: np.where(x > 0, x, 0.01 * x),
    "no activation": lambda x: x,
}


def activations(evidence: Evidence, name: str) -> list[Hint]:
    """A hint on what a module hands from one or two projections inside it to the last one."""
    inner = evidence.inside(name)
    if len(inner) < 2 or (after := evidence.after(name)) is None or not after[0].alike:
        return []
    shape = evidence.theirs.entered[inner[-1]].shape
    wide = [each for each in inner[:-1] if evidence.theirs.left[each].shape == shape]
    if role_of(inner[-1]) == "down" or len(wide) == len(inner) - 1 <= 2:
        return _activation(name, evidence, wide, *after)
    return []


def _activation(name: str, evidence: Evidence, wide: list[str], targets: Two, finish: Finish) -> list[Hint]:
    values, targets = [few_rows(evidence.theirs.left[each]) for each in wide], Two(*map(few_rows, targets))
    if len(values) == 1:
        orders = ["plain"]
    elif len(values) == 2:
        gate = next((place for place, each in enumerate(wide) if role_of(each) == "gate"), 0)
        orders = [f"{last(wide[place])} gates {last(wide[1 - place])}" for place in (gate, 1 - gate)]
        values = [values[gate], values[1 - gate]]
    else:
        return []

    def compute(order: str, activation: str) -> np.ndarray:
        inner = values if order == orders[0] else values[::-1]
        product = ACTIVATIONS[activation](inner[0])
        return finish(product * inner[1] if len(inner) == 2 else product)

    choices = [{"order": order, "activation": activation} for order in orders for activation in ACTIVATIONS]
    return compared(name, "the activation", identify(choices, compute, targets), SEAMS, _phrase)


def _phrase(option: str, value: Any) -> str:
    return value
