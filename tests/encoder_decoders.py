"""Tiny encoder-decoders, and batches of pairs for them."""

from __future__ import annotations

import numpy as np

from jaxdec.parity.twins.encoder_decoders import DEEP, MODELS, PAPER

__all__ = ["DEEP", "MODELS", "PAPER", "pair_batch"]


def pair_batch(
    rows: int, window: int, source_window: int, vocab_size: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Random tokens; sources of unequal lengths, of which the longest fills its row; unequal numbers of targets."""
    text = rng.integers(0, vocab_size, (rows, window + 1), dtype=np.int32)
    lengths = np.linspace(1, source_window, rows).astype(int)[:, None]
    counts = rng.integers(1, window + 1, rows)[:, None]
    return {
        "tokens": text[:, :-1],
        "targets": np.ascontiguousarray(text[:, 1:]),
        "mask": (np.arange(window)[None, :] < counts).astype(np.float32),
        "source": rng.integers(0, vocab_size, (rows, source_window), dtype=np.int32),
        "source_mask": (np.arange(source_window)[None, :] < lengths).astype(np.float32),
    }
