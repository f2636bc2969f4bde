"""Which attention each side computes: the options of `attention` one and two at a time, until both are reproduced."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxdec.parity.hints.attention import PLAIN, Projected, attend
from jaxdec.parity.hints.evidence import Evidence, Finish, Two, pattern, role_of
from jaxdec.parity.hints.identify import Match, compared, identify
from jaxdec.parity.report.report import Hint

THETAS = (1e4, 5e5, 1e6, 1e5, 100.0, 1e3)
ROTARY = (
    ("none", 1.0, 1.0),
    *((layout, theta, 1.0) for theta in THETAS for layout in ("half-split", "interleaved")),
    *((layout, 1e4, divisor) for divisor in (2.0, 4.0, 8.0) for layout in ("half-split", "interleaved")),
)
OPTIONS: Mapping[str, tuple[Any, ...]] = {
    "swapped": (True,),
    "fused": ("head by head",),
    "scale": ("1", "1 / sqrt(model width)", "1 / head dim"),
    "mask": (None, 1, -1),
    "split": ("strided", "strided before attention"),
    "groups": ("tiled",),
    "offset": (1, -1),
    "sink": (True,),
    "softcap": (50.0, 30.0, 20.0, 10.0, 5.0, 2.0),
    "alibi": ((8.0, 1, 1), (8.0, 1, 0), (8.0, -1, 1), (4.0, 1, 1)),
    "window": (*range(1, 17), 32, 64, 128, 256, 512, 1024),
}
SEAMS = {
    "swapped": "query and key",
    "fused": "fused projections",
    "channels": "head split",
    "split": "head split",
    "groups": "grouped heads",
    "mask": "causal mask",
    "window": "window",
    "rotary": "rotary layout",
    "offset": "query and key positions",
    "scale": "score scale",
    "softcap": "soft cap",
    "alibi": "ALiBi",
    "sink": "attention sink",
}
ROWS, BATCH = 8, 1  # as many queries and texts as tell two formulas apart


def attentions(evidence: Evidence, name: str) -> list[Hint]:
    """A hint on what a module makes of queries, keys and values. What other layers were found to compute is tried
    first; a module of which another layer's was not recognised is not searched again."""
    known, unknown = evidence.attentions, evidence.unknown
    if pattern(name) in unknown or (recorded := _recorded(evidence, name)) is None:
        return []
    found = search(*recorded, known)
    known += [dict(match.options) for match in found if match is not None and dict(match.options) not in known]
    if found == (None, None):
        unknown.add(pattern(name))
    return compared(name, "the attention", found, _seams(found), phrase)


def search(
    given: Projected, targets: Two, finish: Finish, channels: tuple[int, ...], known: list[dict[str, Any]]
) -> tuple[Match | None, Match | None]:
    """What other modules were found to compute comes first; then one option beside each base; where that gives one side
    alone, two more changes to what that one computes."""
    found: tuple[Match | None, Match | None] = (None, None)

    def compute(**options: Any) -> np.ndarray | None:
        value = attend(given, **options)
        return None if value is None else finish(value)

    for choices in (iter(known), one_change(channels)):
        found = _both(found, identify(choices, compute, targets))
        if None not in found:
            return found
    for base in [dict(match.options) for match in found if match is not None] or known:
        found = _both(found, identify(two_changes(base), compute, targets))
    return found


def one_change(channels: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    bases = [{**PLAIN, "channels": each, "rotary": turn} for each in channels for turn in ROTARY if fits(each, turn)]
    yield from bases
    for base in bases:
        for option, values in OPTIONS.items():
            for value in values:
                yield {**base, option: value}


def two_changes(base: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One and two options changed, the turn being one of them."""
    table = {**OPTIONS, "rotary": ROTARY}
    singles = [
        (option, value)
        for option, values in table.items()
        for value in dict.fromkeys((*values, PLAIN[option]))
        if value != base[option] and (option != "rotary" or fits(base["channels"], value))
    ]
    for option, value in singles:
        yield {**base, option: value}
    for (first, a), (second, b) in itertools.combinations(singles, 2):
        if first != second and not {first, second} <= {"window", "rotary"}:
            yield {**base, first: a, second: b}


def fits(channels: int, turn: tuple[str, float, float]) -> bool:
    return turn[0] == "none" or channels % 2 == 0


def _both(first: Any, second: Any) -> tuple[Match | None, Match | None]:
    return tuple(a if a is not None else b for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def _recorded(evidence: Evidence, name: str) -> tuple[Projected, Two, Finish, tuple[int, ...]] | None:
    """Projections, what is made of them, and the widths that a head may have."""
    inner = {role: each for each in evidence.inside(name) if (role := role_of(each)) is not None}
    fused = "qkv" in inner and evidence.theirs.left[inner["qkv"]].shape[-1] % 3 == 0
    if not fused and not {"query", "key", "value"} <= set(inner):
        return None
    after = evidence.after(name) if "out" in inner else (evidence.left(name), lambda value: value)
    if after is None:
        return None
    targets, finish = after
    normed = {each.rpartition(".")[2][0]: each for each in evidence.inside(name) if "norm" in each.rpartition(".")[2]}
    values, channels = [], None
    for place, role in enumerate(("query", "key", "value")):
        if fused:
            value = np.split(evidence.theirs.left[inner["qkv"]], 3, axis=-1)[place]
        else:
            value = evidence.theirs.left[normed.get(role[0], inner[role])]
        if value.ndim == 4:
            channels, value = value.shape[-1], value.reshape(*value.shape[:2], -1)
        values.append(value[:BATCH])
    if any(value.ndim != 3 for value in values) or targets.reference.ndim != 3 or not targets.alike:
        return None
    if len({value.shape[1] for value in (*values, targets.reference)}) > 1:
        return None  # keys of another text
    length = values[1].shape[1]
    rows = np.unique(np.linspace(0, length - 1, min(length, ROWS)).astype(int))
    sinks = next((value for key, value in evidence.own_params(name).items() if "sink" in key and value.ndim == 1), None)
    width = evidence.theirs.entered[inner["qkv" if fused else "query"]].shape[-1]
    if channels is None:
        shared = np.gcd(values[0].shape[-1], values[1].shape[-1])
        channels_tried = tuple(each for each in range(1, shared + 1) if shared % each == 0)[::-1]
    else:
        channels_tried = (channels,)
    if sinks is not None:
        channels_tried = tuple(each for each in channels_tried if values[0].shape[-1] == each * len(sinks))
    kept = Two(*(side[:BATCH][:, rows] for side in targets))
    q, k, v = values
    return Projected(q, k, v, rows, sinks, width, fused), kept, finish, channels_tried


def _seams(found: tuple[Match | None, Match | None]) -> dict[str, str]:
    """The turn has a seam of its own for each way in which it can differ."""
    theirs, ours = found
    if theirs is None or ours is None:
        return SEAMS
    (layout, _, divisor), (other, _, by) = theirs.options["rotary"], ours.options["rotary"]
    if "none" in (layout, other) or divisor != by:
        return {**SEAMS, "rotary": "rotary positions"}
    return {**SEAMS, "rotary": "rotary layout" if layout != other else "rotary theta"}


def phrase(option: str, value: Any) -> str:
    if option == "rotary":
        layout, theta, divisor = value
        return "no rotary" if layout == "none" else f"{layout} rotary, theta {theta:g}" + (
            f", positions divided by {divisor:g}" if divisor != 1 else ""
        )  # fmt: skip
    if option == "mask":
        last = {
            None: "every token",
            0: "itself and what is before it",
            1: "the next token too",
            -1: "what is before it",
        }
        return f"a token sees {last[value]}"
    words = {
        "channels": "heads of width {}",
        "scale": "scores times {}",
        "fused": "one projection of all, {}",
        "split": "channels of a head {}",
        "groups": "key heads {}",
        "offset": "positions of queries {:+d}",
        "softcap": "a soft cap of {}",
        "window": "a window of {}",
    }
    if option == "alibi":
        return alibi_phrase(value)
    if option == "swapped":
        return "queries and keys exchanged" if value else "queries and keys in their places"
    if option == "sink":
        return "a sink" if value else "no sink"
    return words[option].format(value) if value not in (None, 0) or option == "offset" else f"no {SEAMS[option]}"


def alibi_phrase(value: tuple[float, int, int] | None) -> str:
    if value is None:
        return "no ALiBi"
    last, sign, first = value
    return f"ALiBi with slopes {'' if sign > 0 else 'minus '}2^(-{last:g} h / H), h from {first}"
