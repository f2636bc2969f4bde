"""Tiny encoder-decoders, and batches of pairs for them."""

from __future__ import annotations

from jaxdec.parity.twins.encoder_decoders import DEEP, MODELS, PAPER
from jaxdec.parity.twins.run import pair_batch

__all__ = ["DEEP", "MODELS", "PAPER", "pair_batch"]
