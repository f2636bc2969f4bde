"""Trials on the candidate's parameters, alike in all layers: for modules with weights, tapped inside or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from jaxdec.parity.hints.evidence import Evidence, last, pattern, role_of, stem
from jaxdec.parity.hints.layouts import fused_by_head, fused_in_blocks, relaid
from jaxdec.parity.hints.trials import Trial
from jaxdec.parity.locate.replay import WHOLE, owner
from jaxdec.parity.setting import Arrays

BIASES = ("bias", "beta", "b")


def param_trials(evidence: Evidence) -> Iterator[Trial]:
    params = {key: evidence.params[key] for key in faulty(evidence)}
    groups: dict[str, list[str]] = {}
    for key in params:
        groups.setdefault(pattern(key), []).append(key)
    for label, keys in groups.items():
        yield from of_one(label, {key: params[key] for key in keys})
    yield from exchanged(params, "query", "key", "query and key")
    yield from exchanged(params, "key", "value", "query and key")
    yield from exchanged(params, "gate", "up", "gate and up")
    yield from turned(params)
    yield from stretched(params)


def faulty(evidence: Evidence) -> list[str]:
    """Parameters of faulty modules, but not those of other tapped ones inside them. A function's taps are at results
    alone: what differs there may have happened in the code around."""
    names = dict.fromkeys(evidence.faults)
    for name in list(names):
        while not evidence.ours.entered and name != WHOLE:
            name = owner(name, evidence.names)
            names[name] = None
    found: dict[str, None] = {}
    for name in names:
        found |= dict.fromkeys(("" if name == WHOLE else name + ".") + key for key in evidence.own_params(name))
    return list(found)


def of_one(label: str, same: Arrays) -> Iterator[Trial]:
    """Trials on one parameter of every layer."""

    def trial(seam: str, text: str, change: Callable[[np.ndarray], np.ndarray]) -> Trial:
        return Trial(seam, f"{label} {text}", params={key: change(value) for key, value in same.items()})

    value = next(iter(same.values()))
    if value.ndim == 2 and value.shape[0] == value.shape[1]:
        yield trial("transpose", "transposed", lambda x: x.T)
    if value.ndim == 2 and any(word in label for word in ("embed", "wte", "tok")):
        root = value.shape[-1] ** 0.5
        yield trial("embedding scale", f"times sqrt(width), which is {root:.4g}", lambda x: x * root)
        yield trial("embedding scale", f"divided by sqrt(width), which is {root:.4g}", lambda x: x / root)
    if value.ndim == 2 and any(word in label for word in ("pos", "wpe")):
        for rows in (1, -1, 2, -2):
            text = f"read {abs(rows)} row{'s' if abs(rows) > 1 else ''} {'further on' if rows > 0 else 'before'}"
            yield trial("position shift", text, lambda x, rows=rows: np.roll(x, -rows, axis=0))
    if value.ndim == 1 and last(label) in BIASES:
        yield trial("bias", "set to zero", np.zeros_like)
    if value.ndim == 1 and last(label) not in BIASES:
        yield trial("norm scale", "plus one", lambda x: x + 1)
        yield trial("norm scale", "minus one", lambda x: x - 1)
    if role(label) == "qkv" and value.shape[-1] % 3 == 0:
        for heads in divisors(value.shape[-1] // 3)[1:]:
            yield trial(
                "fused projections", f"split head by head, {heads} heads", lambda x, h=heads: fused_in_blocks(x, h)
            )
            yield trial(
                "fused projections", f"split in three blocks, {heads} heads", lambda x, h=heads: fused_by_head(x, h)
            )


def exchanged(params: Arrays, first: str, second: str, seam: str) -> Iterator[Trial]:
    """All that two roles have, or matrices alone: a rule may have forgotten the biases."""
    pairs = [(a, b) for a, b in partners(params, first, second) if params[a].shape == params[b].shape]
    for text, chosen in (("", pairs), ("'s matrices", [(a, b) for a, b in pairs if params[a].ndim >= 2])):
        changed = {a: params[b] for a, b in pairs if (a, b) in chosen}
        changed |= {b: params[a] for a, b in pairs if (a, b) in chosen}
        if changed:
            yield Trial(seam, f"{first} and {second}{text} exchanged", params=changed)


def turned(params: Arrays) -> Iterator[Trial]:
    """Channels of queries and keys in the order of the other rotary layout."""
    both = [key for pair in partners(params, "query", "key") for key in pair]
    if not both:
        return
    for channels in divisors(int(np.gcd.reduce([params[key].shape[-1] for key in both]))):
        if channels % 2 == 0 and channels > 2:
            for text, to in (("interleaved rotary", "halves"), ("half-split rotary", "neighbours")):
                changed = {key: relaid(params[key], channels, to) for key in both}
                yield Trial("rotary layout", f"{text}, heads of width {channels}", params=changed)


def stretched(params: Arrays) -> Iterator[Trial]:
    queries = [key for key in params if role(key) == "query"]
    if not queries:
        return
    for channels in divisors(params[queries[0]].shape[-1])[1:]:
        for factor, text in ((channels**0.5, "sqrt(head dim)"), (channels**-0.5, "1 / sqrt(head dim)")):
            changed = {key: factor * params[key] for key in queries}
            yield Trial("score scale", f"scores times {text}, which is {factor:.4g}", params=changed)


def partners(params: Arrays, first: str, second: str) -> Iterator[tuple[str, str]]:
    """Parameters of two roles with the same place otherwise."""
    places = {(pattern_of_role(key, role(key)), role(key)): key for key in params if role(key) in (first, second)}
    for (place, found), key in places.items():
        if found == first and (place, second) in places:
            yield key, places[place, second]


def pattern_of_role(key: str, found: str | None) -> str:
    parts = key.split(".")
    return ".".join("*" + part.removeprefix(stem(part)) if role_of(part) == found else part for part in parts)


def role(key: str) -> str | None:
    """Of a parameter: by its own name, or by that of what it belongs to."""
    return role_of(key) or role_of(key.rpartition(".")[0])


def divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]
