"""Choices of experts: how many differ, and which differ only because two scores are equal within their error.

Where rounding sends a token to another expert although nothing is wrong, what follows is another computation, and no
ratio of errors says anything: such comparisons pass as ties, by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Comparison
from jaxdec.parity.setting import Arrays


def compare_choices(ours: Arrays, true: Arrays, routing: Mapping[str, int], *, exact: bool) -> list[Comparison]:
    """How many tokens each router sends to another set of experts than the oracle's does. `routing`: for the tap of a
    router's scores [.., E], how many experts a token goes to."""
    found = []
    for name, chosen in routing.items():
        wrong, ties = differing_choices(ours[name], true[name], chosen, exact=exact)
        found.append(Comparison("routing", name, float(wrong), 0.0, note=f"{ties} ties" if ties else ""))
    return found


def differing_choices(ours: np.ndarray, theirs: np.ndarray, chosen: int, *, exact: bool = True) -> tuple[int, int]:
    """(choices that differ, ties that differ) between the sets of the `chosen` highest scores, [N,E] each.

    A set is tied where the reference's margin between the last in and the first out is within the scores' own
    difference. In an `exact` run that is no excuse where the scores themselves are over their tolerance.
    """
    ours, theirs = (side.reshape(-1, side.shape[-1]) for side in (ours, theirs))
    sets = [np.sort(np.argsort(-side, axis=-1, kind="stable")[:, :chosen], axis=-1) for side in (ours, theirs)]
    differs = (sets[0] != sets[1]).any(axis=-1)
    ranked = -np.sort(-theirs, axis=-1)
    margin = ranked[:, chosen - 1] - ranked[:, chosen] if chosen < theirs.shape[-1] else np.full(len(theirs), np.inf)
    error = np.abs(ours - theirs).max(axis=-1)
    tied = margin <= 2 * error
    if exact:
        tied &= error <= tolerances.SEMANTIC.limit * np.abs(theirs).max(initial=1e-300)
    return int((differs & ~tied).sum()), int((differs & tied).sum())


def first_tie(candidate: Arrays, reference: Arrays, oracle: Arrays, routing: Mapping[str, int]) -> str | None:
    """The first router that, on either side, sends a token elsewhere than the oracle's does and is tied about it; given
    taps in low precision, and the oracle's."""
    for name in (name for name in oracle if name in routing):
        sides = (side[name] for side in (candidate, reference) if name in side)
        if any(differing_choices(side, oracle[name], routing[name], exact=False)[1] for side in sides):
            return name
    return None


def excused(found: list[Comparison], tie: str | None) -> list[Comparison]:
    """Comparisons behind a tie have no limit; they keep what was measured, and say why it does not count. Where the tie
    is not among them, all are behind it."""
    if tie is None:
        return found
    names = [each.name for each in found]
    after = names.index(tie) if tie in names else -1
    note = f"tie at {tie}"
    return [replace(each, limit=np.inf, note=note) if place > after else each for place, each in enumerate(found)]
