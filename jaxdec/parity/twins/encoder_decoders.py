"""Tiny encoder-decoders with every part that one can have."""

from __future__ import annotations

from dataclasses import replace

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
