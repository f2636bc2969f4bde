"""Whether the weights of a token's experts sum to one, or to what the router's softmax gave them."""

from __future__ import annotations

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.hints.attention import softmax
from jaxdec.parity.hints.evidence import Evidence, last
from jaxdec.parity.hints.identify import matches_with, residual
from jaxdec.parity.report.report import Hint

ROUTERS = ("router", "gate", "wg")


def experts(evidence: Evidence, name: str) -> list[Hint]:
    """A hint on a module with a router whose results differ, token by token, by the sum of the chosen weights."""
    routers = [each for each in evidence.inside(name) if last(each) in ROUTERS]
    if name not in evidence.names or not routers or not (sides := evidence.left(name)).alike:
        return []
    scores = evidence.theirs.left[routers[0]]
    true, value = (side.reshape(-1, side.shape[-1]) for side in sides)
    for shared in evidence.inside(name):  # experts that every token passes are added with a weight of their own
        if last(shared).startswith("shared") and evidence.theirs.left[shared].size == true.size:
            true, value = (side - evidence.theirs.left[shared].reshape(true.shape) for side in (true, value))
    ranked_NE = -np.sort(-softmax(scores.reshape(-1, scores.shape[-1]), None), axis=-1)
    if len(ranked_NE) != len(true):
        return []
    for chosen in range(1, ranked_NE.shape[-1]):
        share_N1 = ranked_NE[:, :chosen].sum(-1, keepdims=True)
        for factor_N1, unscaled in ((share_N1, "candidate"), (1 / share_N1, "reference")):
            error = residual(factor_N1 * value, true)
            if error <= tolerances.SEMANTIC.limit:
                text = f"the weights of {chosen} experts renormalised to one on the {unscaled}'s side alone"
                return [matches_with("expert weights", name, error, text)]
    return []
