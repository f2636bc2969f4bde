"""Which mean each side takes over which losses, given equal logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxdec.parity.hints.evidence import Two
from jaxdec.parity.hints.identify import compared, identify
from jaxdec.parity.report.report import Hint
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides

MEANS = (
    "mean over the targets that count",
    "sum over them, divided by all",
    "mean over all",
    "sum over all, divided by those that count",
    "sum",
    "mean of rows' means",
)
SHIFTS = (0, 1, -1)
PENALTIES = (0.0, 1e-4, 1e-3, 1e-2)
SEAMS = {"mean": "loss mean", "shift": "target shift", "smoothing": "label smoothing", "penalty": "z-loss"}


def losses(sides: Sides, at: Setting) -> list[Hint]:
    """A hint where both sides' losses are known functions of the reference's logits."""
    batch = sides.pair.draw(at.seed, 1)[0]
    logits_BTV = sides.reference.forward(at).logits["logits"]
    if not {"targets", "mask"} <= set(batch) or logits_BTV.shape[:-1] != batch["targets"].shape:
        return []
    (ours, _), (theirs, _) = sides.gradients(at)

    def compute(**options: Any) -> np.ndarray:
        return np.asarray(loss_of(logits_BTV, batch["targets"], np.asarray(batch["mask"], np.float64), **options))

    found = identify(choices(), compute, Two(np.asarray(theirs), np.asarray(ours)))
    return compared("loss", "the loss", found, SEAMS, phrase)


def choices() -> Iterator[dict[str, Any]]:
    """Every mean and shift, with at most one addition."""
    for mean in MEANS:
        for shift in SHIFTS:
            for smoothing, penalty in ((0.0, 0.0), (0.1, 0.0), (0.05, 0.0), *((0.0, each) for each in PENALTIES[1:])):
                yield {"mean": mean, "shift": shift, "smoothing": smoothing, "penalty": penalty}


def loss_of(
    logits_BTV: np.ndarray,
    targets_BT: np.ndarray,
    mask_BT: np.ndarray,
    mean: str,
    shift: int,
    smoothing: float,
    penalty: float,
) -> float:
    """Cross entropy in nats; smoothing as in Szegedy et al. 2016, section 7; penalty times the square of the logarithm
    of the softmax's sum (z-loss: Chowdhery et al. 2022, section 5)."""
    top = logits_BTV.max(-1, keepdims=True)
    total_BT = (np.log(np.exp(logits_BTV - top).sum(-1, keepdims=True)) + top)[..., 0]
    picked_BT = np.take_along_axis(logits_BTV, np.roll(targets_BT, -shift, axis=-1)[..., None], axis=-1)[..., 0]
    each_BT = total_BT - (1 - smoothing) * picked_BT - smoothing * logits_BTV.mean(-1) + penalty * total_BT**2
    masked = each_BT * mask_BT
    return {
        MEANS[0]: lambda: masked.sum() / mask_BT.sum(),
        MEANS[1]: lambda: masked.sum() / mask_BT.size,
        MEANS[2]: lambda: each_BT.mean(),
        MEANS[3]: lambda: each_BT.sum() / mask_BT.sum(),
        MEANS[4]: lambda: masked.sum(),
        MEANS[5]: lambda: np.mean(masked.sum(-1) / np.maximum(mask_BT.sum(-1), 1e-300)),
    }[mean]()


def phrase(option: str, value: Any) -> str:
    words = {"shift": "targets shifted by {}", "smoothing": "label smoothing {:g}", "penalty": "z-loss {:g}"}
    return words.get(option, "{}").format(value)
