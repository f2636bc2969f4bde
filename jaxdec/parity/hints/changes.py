"""Changes from one convention of projections to another: their order, their size, and where channels lie.

The last axis of what a projection hands on is that of its kernel and of its bias as well: the same changes are tried on
recorded outputs and on parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxdec.parity.hints.evidence import Projections
from jaxdec.parity.setting import Arrays

EXCHANGED = (
    ("query", "key", "query and key"),
    ("key", "value", "query and key"),
    ("gate", "up", "gate and up"),
)


class Change(NamedTuple):
    """`text` ends the sentence "matches at 2e-15 with ..."; `arrays` take the place of those of the same names."""

    seam: str
    text: str
    arrays: Arrays


def changes(arrays: Arrays, places: Projections) -> Iterator[Change]:
    """Every change that the roles at hand allow, each in all places at once."""
    for first, second, seam in EXCHANGED:
        yield from exchanged(arrays, places, first, second, seam)
    attention = [roles for roles in places if {"query", "key"} <= set(roles)]
    yield from turned(arrays, attention)
    yield from scaled(arrays, attention)
    yield from split(arrays, [roles["qkv"] for roles in places if "qkv" in roles])


def exchanged(arrays: Arrays, places: Projections, first: str, second: str, seam: str) -> Iterator[Change]:
    """All that two roles have, or matrices alone: a rule may have forgotten the biases."""
    pairs = [(roles[first], roles[second]) for roles in places if {first, second} <= set(roles)]
    pairs = [(a, b) for a, b in pairs if arrays[a].shape == arrays[b].shape]
    matrices = [(a, b) for a, b in pairs if arrays[a].ndim >= 2]
    for text, chosen in (("", pairs), ("'s matrices", matrices if matrices != pairs else [])):
        swapped = {a: arrays[b] for a, b in chosen} | {b: arrays[a] for a, b in chosen}
        if swapped:
            yield Change(seam, f"{first} and {second}{text} exchanged", swapped)


def turned(arrays: Arrays, places: Projections) -> Iterator[Change]:
    """Channels of queries and keys in the order of the other rotary layout."""
    both = [roles[role] for roles in places for role in ("query", "key")]
    for width in head_dims(arrays, places):
        if width % 2 == 0 and width > 2:
            for text, to in (("interleaved rotary", "halves"), ("half-split rotary", "neighbours")):
                relaid_ = {name: relaid(arrays[name], width, to) for name in both}
                yield Change("rotary layout", f"{text}, heads of width {width}", relaid_)


def scaled(arrays: Arrays, places: Projections) -> Iterator[Change]:
    """Queries, and so the scores, times a factor that a port may have left out or applied twice."""
    queries, factors = [roles["query"] for roles in places], {}
    for width in head_dims(arrays, places):
        for text, factor in (
            ("sqrt(head dim)", width**0.5),
            ("1 / sqrt(head dim)", width**-0.5),
            ("sqrt(head dim / width)", (width / arrays[queries[0]].shape[-1]) ** 0.5),
        ):
            factors.setdefault(factor, f"scores times {text}, which is {factor:.4g}")
    for factor, text in factors.items():
        if factor != 1:
            yield Change("score scale", text, {name: factor * arrays[name] for name in queries})


def split(arrays: Arrays, names: list[str]) -> Iterator[Change]:
    """One projection of queries, keys and values: in three blocks, or side by side for each head."""
    if not names or arrays[names[0]].shape[-1] % 3:
        return
    width = arrays[names[0]].shape[-1] // 3
    for heads in (each for each in range(2, width + 1) if width % each == 0):
        for text, change in (("head by head", fused_in_blocks), ("in three blocks", fused_by_head)):
            relaid_ = {name: change(arrays[name], heads) for name in names}
            yield Change("fused projections", f"projections split {text}, {heads} heads", relaid_)


def head_dims(arrays: Arrays, places: Projections) -> list[int]:
    """The widths that a head may have, the most usual first: what divides the widths of all queries and keys."""
    if not places:
        return []
    shared = int(np.gcd.reduce([arrays[roles[role]].shape[-1] for roles in places for role in ("query", "key")]))
    widths = [each for each in range(1, shared + 1) if shared % each == 0]
    return sorted(widths, key=lambda each: abs(np.log2(each) - 5))


def relaid(x: np.ndarray, width: int, to: str) -> np.ndarray:
    """Channels of each head reordered for rotary code of the other kind: "halves" brings neighbours to where half-split
    code looks for a pair, "neighbours" brings them back."""
    order = np.arange(width).reshape(-1, 2).T if to == "halves" else np.arange(width).reshape(2, -1).T
    heads = x.reshape(*x.shape[:-1], -1, width)
    return heads[..., order.ravel()].reshape(x.shape)


def fused_in_blocks(x: np.ndarray, heads: int) -> np.ndarray:
    """[..., H 3 C] -> [..., 3 H C]."""
    return x.reshape(*x.shape[:-1], heads, 3, -1).swapaxes(-3, -2).reshape(x.shape)


def fused_by_head(x: np.ndarray, heads: int) -> np.ndarray:
    """[..., 3 H C] -> [..., H 3 C]."""
    return x.reshape(*x.shape[:-1], 3, heads, -1).swapaxes(-3, -2).reshape(x.shape)


def reordered(x: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Heads [..., H C] in another order."""
    return x.reshape(*x.shape[:-1], len(order), -1)[..., order, :].reshape(x.shape)
