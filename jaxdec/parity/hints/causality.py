"""Which side reads later tokens: whether earlier logits change when only the last token does."""

from __future__ import annotations

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import norm
from jaxdec.parity.hints.evidence import Evidence, Two
from jaxdec.parity.hints.identify import size
from jaxdec.parity.report.report import Hint

VISIBLE = tolerances.SEMANTIC.limit  # an expert that gets one token more may sum in another order


def futures(evidence: Evidence) -> list[Hint]:
    """A hint where one side alone does."""
    seen = leaks(evidence)
    if seen is None or (seen.reference > VISIBLE) == (seen.candidate > VISIBLE):
        return []
    side, other = ("reference", "candidate") if seen.reference > VISIBLE else ("candidate", "reference")
    text = f"the {side}'s logits change by {max(seen):.0e} with a later token, the {other}'s do not ({size(min(seen))})"
    return [Hint("causal mask", "model", min(seen), text)]


def leaks(evidence: Evidence) -> Two | None:
    """|change| / |logits| of all but the last position after another last token, on each side."""
    sides, at = evidence.sides, evidence.at
    batch = dict(sides.pair.draw(at.seed, 1)[0])
    if "tokens" not in batch or batch["tokens"].ndim != 2 or batch["tokens"].shape[1] < 2 or len(batch) > 3:
        return None
    tokens = np.array(batch["tokens"])
    tokens[:, -1] = (tokens[:, -1] + 1) % sides.pair.vocab_size
    changes = []
    for side in (sides.reference, sides.candidate):
        plain, other = (
            side.replay(at, {}, {}, batch=each).logits["logits"] for each in (batch, {**batch, "tokens": tokens})
        )
        if plain.ndim != 3:
            return None
        changes.append(norm((other - plain)[:, :-1]) / norm(plain))
    return Two(*changes)
