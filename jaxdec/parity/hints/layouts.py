"""Orders in which the channels of projections may lie on the last axis."""

from __future__ import annotations

import numpy as np


def relaid(x: np.ndarray, channels: int, to: str) -> np.ndarray:
    """Channels of each head reordered for rotary code of the other kind: "halves" brings neighbours to where half-split
    code looks for a pair, "neighbours" brings them back."""
    order = np.arange(channels).reshape(-1, 2).T if to == "halves" else np.arange(channels).reshape(2, -1).T
    heads = x.reshape(*x.shape[:-1], -1, channels)
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
