"""Everything that one side of a pair computes for a setting, ready to be dumped."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdec.parity.compare.dump import Recording, Side
from jaxdec.parity.pair import Pair
from jaxdec.parity.report.environment import environment
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.candidate_side import CandidateSide
from jaxdec.parity.sides.reference_side import ReferenceSide
from jaxdec.parity.sides.stages import continued
from jaxdec.parity.sides.transfer import Transfer


def record(pair: Pair, side: Side, at: Setting, steps: int) -> Recording:
    """Runs a side forwards, backwards, through its optimizer and through `steps` of training.

    Greedy tokens are recorded where a check compares them: in float64, with generic weights.
    """
    transfer = Transfer(pair)
    runs = CandidateSide(transfer) if side == "candidate" else ReferenceSide(transfer)
    forward, (loss, gradients) = runs.forward(at), runs.loss_and_gradients(at)
    given = transfer.made_up_gradients(at.seed)
    if side == "candidate":
        given = [transfer.plan.tangents_to_candidate(grads) for grads in given]
    stages: dict[str, Any] = {
        "weights": transfer.weights(at).candidate,
        "taps": forward.left,
        "logits": forward.logits,
        "loss": {"loss": np.asarray(loss)},
        "gradients": gradients,
        "updates": runs.updates(at, given),
        "losses": {"loss": np.asarray(runs.trajectory(at, (steps,)).losses)},
    }
    if at.precision == "float64" and at.weight_init == "generic" and pair.continues:
        count = continued(pair, at.seed)
        rows = runs.greedy(at, count, cached=False) if isinstance(runs, CandidateSide) else runs.greedy(at, count)
        stages["greedy"] = {f"prompt {row}": tokens for row, tokens in enumerate(rows)}
    return Recording(
        side,
        pair.name,
        stages,
        pair.draw(at.seed, steps),
        at.precision,
        at.weight_init,
        at.seed,
        rules=pair.weights,
        routing=pair.routing,
        environment=environment(),
    )
