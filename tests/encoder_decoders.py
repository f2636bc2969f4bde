"""Tiny encoder-decoders with every part that one can have, and batches of pairs for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxdec.layer_config import RMSNorm, SwiGLU
from jaxdec.model_config import EncoderDecoder
from jaxdec.position_config import Learned

PAPER = EncoderDecoder(layers=1, heads=4, width=32, context=12, vocab_size=23)
DEEP = replace(PAPER, layers=2)
MODELS: dict[str, EncoderDecoder] = {
    "paper": PAPER,
    "norm before": replace(
        PAPER,
        norm_place="before",
        position=Learned(init_std=0.05),
        norm=RMSNorm(),
        mlp=SwiGLU(hidden=40),
        bias=False,
        tied_head=False,
    ),
}


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
