"""Trials on what projections hand on: the same as other weights in them, whatever these are called.

The candidate's own code computes the rest, so that a turn of any kind, or a mask of any form, needs no formula here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxdec.parity.hints.evidence import Evidence, role_of
from jaxdec.parity.hints.layouts import fused_by_head, fused_in_blocks, relaid, reordered
from jaxdec.parity.hints.trials import Trial

Places = list[dict[str, str]]  # for each faulty module, role -> name of the projection


def value_trials(evidence: Evidence) -> Iterator[Trial]:
    tapped = ([each for each in evidence.inside(name) if each in evidence.names] for name in evidence.faults)
    places = [{role: each for each in inner if (role := role_of(each))} for inner in tapped]
    attention = [roles for roles in places if {"query", "key"} <= set(roles)]
    yield from exchanged(evidence, attention, ("query", "key"), "query and key")
    gated = [roles for roles in places if {"gate", "up"} <= set(roles)]
    yield from exchanged(evidence, gated, ("gate", "up"), "gate and up")
    yield from rotary(evidence, attention)
    yield from scaled(evidence, attention)
    yield from grouped(evidence, attention)
    yield from fused(evidence, [roles["qkv"] for roles in places if "qkv" in roles])


def exchanged(evidence: Evidence, places: Places, pair: tuple[str, str], seam: str) -> Iterator[Trial]:
    outputs, left = {}, evidence.theirs.left
    for roles in places:
        first, second = (roles[role] for role in pair)
        if left[first].shape == left[second].shape:
            outputs |= {first: left[second], second: left[first]}
    if outputs:
        yield Trial(seam, f"{pair[0]} and {pair[1]} exchanged", outputs=outputs)


def rotary(evidence: Evidence, places: Places) -> Iterator[Trial]:
    for channels in head_dims(evidence, places):
        if channels % 2:
            continue
        for text, to in (("interleaved rotary", "halves"), ("half-split rotary", "neighbours")):
            outputs = {
                roles[role]: relaid(evidence.theirs.left[roles[role]], channels, to)
                for roles in places
                for role in ("query", "key")
            }
            yield Trial("rotary layout", f"{text}, heads of width {channels}", outputs=outputs)


def scaled(evidence: Evidence, places: Places) -> Iterator[Trial]:
    if not places:
        return
    factors: dict[float, str] = {}
    for channels in head_dims(evidence, places):
        for text, factor in (
            ("sqrt(head dim)", channels**0.5),
            ("1 / sqrt(head dim)", channels**-0.5),
            ("sqrt(head dim / width)", (channels / evidence.theirs.left[places[0]["query"]].shape[-1]) ** 0.5),
        ):
            factors.setdefault(factor, f"scores times {text}, which is {factor:.4g}")
    for factor, text in factors.items():
        outputs = {roles["query"]: factor * evidence.theirs.left[roles["query"]] for roles in places}
        yield Trial("score scale", text, outputs=outputs)


def grouped(evidence: Evidence, places: Places) -> Iterator[Trial]:
    """Query heads in the order in which tiled key heads serve them, or repeated ones."""
    for channels in head_dims(evidence, places):
        for text in ("tiled", "repeated"):
            outputs, undo = {}, {}
            for roles in places:
                q, k = (evidence.theirs.left[roles[role]] for role in ("query", "key"))
                heads, groups = q.shape[-1] // channels, k.shape[-1] // channels
                if q.ndim != 3 or "out" not in roles or heads == groups or groups < 2:
                    continue
                order = np.arange(heads).reshape((-1, groups) if text == "tiled" else (groups, -1)).T.ravel()
                outputs[roles["query"]] = reordered(q, order)
                undo[roles["out"]] = lambda y, order=order: reordered(y, np.argsort(order))
            if outputs:
                yield Trial("grouped heads", f"key heads {text}, of width {channels}", outputs=outputs, undo=undo)


def fused(evidence: Evidence, names: list[str]) -> Iterator[Trial]:
    if not names or evidence.theirs.left[names[0]].shape[-1] % 3:
        return
    width = evidence.theirs.left[names[0]].shape[-1] // 3
    for heads in range(2, width + 1):
        if width % heads == 0:
            for text, change in (("head by head", fused_in_blocks), ("in three blocks", fused_by_head)):
                outputs = {name: change(evidence.theirs.left[name], heads) for name in names}
                yield Trial("fused projections", f"projections split {text}, {heads} heads", outputs=outputs)


def head_dims(evidence: Evidence, places: Places) -> list[int]:
    """What divides the queries' and the keys' width, in the order of how usual it is."""
    if not places:
        return []
    shared = int(np.gcd(*(evidence.theirs.left[places[0][role]].shape[-1] for role in ("query", "key"))))
    widths = [each for each in range(1, shared + 1) if shared % each == 0]
    return sorted(widths, key=lambda each: abs(np.log2(each) - 5))
