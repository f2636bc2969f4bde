"""Tiny encoder-decoders with every part that one can have."""

from __future__ import annotations

from dataclasses import replace

from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.config.parts import GatedMLP, RMSNorm
from jaxdec.config.positions import Learned

PAPER = EncoderDecoderConfig(layers=1, heads=4, width=32, context=12, vocab_size=23)
DEEP = replace(PAPER, layers=2)
MODELS: dict[str, EncoderDecoderConfig] = {
    "paper": PAPER,
    "norm before": replace(
        PAPER,
        norm_place="pre",
        position=Learned(init_std=0.05),
        norm=RMSNorm(),
        mlp=GatedMLP(hidden=40),
        bias=False,
        tied_head=False,
    ),
}
