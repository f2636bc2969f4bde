"""Whether microbatches are weighted by their number of targets, or all equally."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.hints.identify import size
from jaxdec.parity.hints.losses import MEANS, loss_of
from jaxdec.parity.report.report import Hint
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides

WAYS = {"a mean over all targets": MEANS[0], "a mean of the parts' means": MEANS[5], "a sum": MEANS[4]}


def accumulations(sides: Sides, comparisons: Sequence[Comparison], at: Setting) -> list[Hint]:
    """A hint where two ways to add up the rows of a batch differ by just what was measured of the loss."""
    batch = sides.pair.draw(at.seed, 1)[0]
    logits_BTV = sides.reference.forward(at).logits["logits"]
    if not {"targets", "mask"} <= set(batch) or logits_BTV.shape[:-1] != batch["targets"].shape:
        return []
    mask = np.asarray(batch["mask"], np.float64)
    values = {way: loss_of(logits_BTV, batch["targets"], mask, mean, 0, 0.0, 0.0) for way, mean in WAYS.items()}
    for comparison in comparisons:
        if comparison.stage != "accumulation" or comparison.name != "loss" or comparison.equal:
            continue
        for ours, a in values.items():
            for theirs, b in values.items():
                error = abs(abs(a - b) / abs(b) - comparison.measured) / comparison.measured
                if ours != theirs and error <= tolerances.SEMANTIC.limit:
                    text = f"the reference adds up microbatches as {theirs}, the candidate as {ours} ({size(error)})"
                    return [Hint("accumulation", "accumulation", error, text)]
    return []
