"""Attention from projected queries, keys and values in numpy, with every option in which implementations differ."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Projected(NamedTuple):
    """What enters: flat projections q [B,T,H C], k and v [B,T,K C]; the query rows to compute; a sink per head."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    rows: np.ndarray
    sinks: np.ndarray | None
    width: int
    fused: bool = False


PLAIN: dict[str, Any] = {
    "channels": None,  # C, the width of a head
    "rotary": ("none", 1.0, 1.0),  # layout, theta, and by what positions are divided
    "scale": "1 / sqrt(head dim)",
    "mask": 0,  # the last key that a query may read, counted from its own
    "window": None,  # how many keys it may read at most
    "split": "together",  # a head's channels; "strided before attention" alone is a bug
    "groups": "repeated",
    "swapped": False,
    "fused": "in three blocks",  # where one projection makes all three
    "offset": 0,  # of a query's position against its key's
    "softcap": None,
    "alibi": None,  # the last slope is 2^-this; times this; the first head is number this
    "sink": False,
}


def attend(given: Projected, **options: Any) -> np.ndarray | None:
    """softmax(scale q k^T + ...) v as [B,rows,H C]; None where the options do not fit the shapes."""
    o = {**PLAIN, **options}
    if o["fused"] == "head by head":
        if not given.fused:
            return None
        given = by_head(given, o["channels"])
    q_BTHC, k_BTKC = heads(given.q, o["channels"], o["split"]), heads(given.k, o["channels"], o["split"])
    v_BTKC = heads(given.v, given.v.shape[-1] * o["channels"] // given.k.shape[-1], o["split"])
    if o["swapped"]:
        if q_BTHC.shape != k_BTKC.shape:
            return None
        q_BTHC, k_BTKC = k_BTKC, q_BTHC
    count = q_BTHC.shape[2]
    if count % k_BTKC.shape[2] or (o["groups"] == "tiled" and count == k_BTKC.shape[2]):
        return None
    slots_T = np.arange(given.k.shape[1], dtype=np.float64)
    q_BTHC, rows_R = q_BTHC[:, given.rows], given.rows
    q_BTHC = rotated(q_BTHC, slots_T[rows_R] + o["offset"], *o["rotary"])
    k_BTKC = rotated(k_BTKC, slots_T, *o["rotary"])
    k_BTHC, v_BTHC = (spread(part, count, o["groups"]) for part in (k_BTKC, v_BTKC))
    scores_BHRS = q_BTHC.transpose(0, 2, 1, 3) @ k_BTHC.transpose(0, 2, 3, 1)
    scores_BHRS *= scale_of(o["scale"], q_BTHC.shape[-1], given.width)
    if o["softcap"]:
        scores_BHRS = o["softcap"] * np.tanh(scores_BHRS / o["softcap"])
    ahead_RS = np.arange(len(slots_T))[None, :] - rows_R[:, None]
    if o["alibi"]:
        slopes_H = o["alibi"][1] * 2.0 ** (-o["alibi"][0] * (np.arange(count) + o["alibi"][2]) / count)
        scores_BHRS = scores_BHRS + slopes_H[:, None, None] * ahead_RS
    seen_RS = ahead_RS <= (10**6 if o["mask"] is None else o["mask"])
    if o["window"]:
        seen_RS &= ahead_RS > -o["window"]
    if not seen_RS.any(-1).all():
        return None
    weights_BHRS = softmax(np.where(seen_RS, scores_BHRS, -np.inf), given.sinks if o["sink"] else None)
    y_BRHC = (weights_BHRS @ v_BTHC.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    if o["split"] == "strided":
        y_BRHC = y_BRHC.swapaxes(-1, -2)
    return y_BRHC.reshape(*y_BRHC.shape[:2], -1)


def by_head(given: Projected, channels: int) -> Projected:
    """What one projection [.., 3 H C] made, read as [.., H 3 C]."""
    joined = np.concatenate([given.q, given.k, given.v], axis=-1)
    parts = joined.reshape(*joined.shape[:-1], -1, 3, channels)
    q, k, v = (parts[..., place, :].reshape(given.q.shape) for place in range(3))
    return given._replace(q=q, k=k, v=v)


def heads(x: np.ndarray, channels: int, split: str) -> np.ndarray:
    """[B,T,H C] -> [B,T,H,C]."""
    if split == "together":
        return x.reshape(*x.shape[:2], -1, channels)
    return x.reshape(*x.shape[:2], channels, -1).swapaxes(-1, -2)  # h strides over the width


def rotated(x: np.ndarray, slots: np.ndarray, layout: str, theta: float, divisor: float) -> np.ndarray:
    """x [B,T,H,C] turned by angles slot / divisor / theta^(2i/C) (Su et al. 2021)."""
    if layout == "none":
        return x
    pairs = x.shape[-1] // 2
    angles = (slots / divisor)[:, None, None] / theta ** (np.arange(pairs) / pairs)
    halves = layout == "half-split"
    a, b = (x[..., :pairs], x[..., pairs:]) if halves else (x[..., 0::2], x[..., 1::2])
    turned = a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)
    return np.concatenate(turned, -1) if halves else np.stack(turned, -1).reshape(x.shape)


def spread(x: np.ndarray, count: int, groups: str) -> np.ndarray:
    """[B,T,K,C] -> [B,T,H,C]."""
    times = count // x.shape[2]
    return np.repeat(x, times, axis=2) if groups == "repeated" else np.tile(x, (1, 1, times, 1))


def scale_of(name: str, channels: int, width: int) -> float:
    return {
        "1 / sqrt(head dim)": channels**-0.5,
        "1": 1.0,
        "1 / sqrt(model width)": width**-0.5,
        "1 / head dim": 1 / channels,
    }[name]


def softmax(scores: np.ndarray, sinks: np.ndarray | None) -> np.ndarray:
    """Over the last axis; `sinks` [H] are one more score for each head, without a value."""
    top = scores.max(-1, keepdims=True)
    if sinks is not None:
        top = np.maximum(top, sinks[:, None, None])
    weights = np.exp(scores - top)
    total = weights.sum(-1, keepdims=True)
    return weights / (total if sinks is None else total + np.exp(sinks[:, None, None] - top))
