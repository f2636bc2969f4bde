"""Pairs that cannot be compared: each is refused in one line that says why."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from jaxdec.errors import UserError, listed
from jaxdec.parity.pair import Pair
from jaxdec.parity.sides.recording import Forward
from jaxdec.weights.rules import WeightRules


def refuse_noise(pair: Pair, first: Forward, second: Forward) -> None:
    """Raises UserError where two runs of the reference on one batch differ."""
    if np.array_equal(first.logits["logits"], second.logits["logits"], equal_nan=True):
        return
    unequal = [name for name in first.left if not np.array_equal(first.left[name], second.left[name], equal_nan=True)]
    raise UserError(
        f"{pair.name}: the reference is not deterministic: two runs on one batch differ, first at "
        f"{unequal[0] if unequal else 'the logits'}; switch off dropout and noise (eval())"
    )


def refuse_unequal_vocabularies(pair: Pair, ours: int, theirs: int) -> None:
    if ours != theirs:
        raise UserError(
            f"{pair.name}: the candidate's vocabulary has {ours} entries and the reference's {theirs}: leave padding "
            "out by a rule such as 'embed <- wte.weight : rows(0,V)', and cut the logits in `call`"
        )


def refuse_unmatched_taps(pair: Pair, ours: Iterable[str], theirs: Iterable[str]) -> None:
    """A plain function without taps is compared by its logits; taps without a counterpart are a mistake."""
    ours, theirs = list(ours), list(theirs)
    if not ours:
        return
    for rule in WeightRules.parse(pair.taps or "").rules:
        if rule.candidate is None or rule.optional:
            continue
        if all(rule.candidate.match(name) is None for name in ours):
            raise UserError(f"taps: {rule} leads to no tap of the candidate, which has {listed(ours)}")
    if not set(ours) & set(theirs):
        raise UserError(
            f"{pair.name}: no tap has the same name on both sides: the candidate has {listed(ours)}, the reference "
            f"{listed(theirs)}; say which is which by Pair(taps='candidate <- reference')"
        )
