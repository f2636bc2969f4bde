"""Tiny encoder-decoders, and batches of pairs for them."""

from __future__ import annotations

from jaxdec.parity.pairs.encoder_decoders import DEEP, MODELS, PAPER
from jaxdec.parity.pairs.run import pair_batch

__all__ = ["DEEP", "MODELS", "PAPER", "pair_batch"]
