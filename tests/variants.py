"""The tiny models of `jaxdec.parity.pairs.variants`, which tests share with the parity checker."""

from __future__ import annotations

from jaxdec.parity.pairs.variants import (
    CLAMPED,
    DENSE,
    DROPLESS,
    GPT,
    LONG,
    MODELS,
    ROPE,
    RUNGS,
    UNROUNDED,
    YARN,
)

__all__ = ["CLAMPED", "DENSE", "DROPLESS", "GPT", "LONG", "MODELS", "ROPE", "RUNGS", "UNROUNDED", "YARN"]
