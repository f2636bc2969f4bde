"""The curriculum: the config of every model of the ladder, each an earlier one with something changed.

Read from the top, a rung is `replace(an earlier rung, what changed)` wherever the wiring stays the same. Sizes are
those of the sources: nanoGPT's for char-gpt and baby-gpt, OpenAI's for the four of GPT-2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxdec.config.model import (
    AnyModel,
    BigramConfig,
    DecoderConfig,
    EncoderDecoderConfig,
    MultiHeadConfig,
    OneBlockConfig,
    SingleHeadConfig,
)
from jaxdec.config.parts import MLP, Full, GatedMLP, Local, MoE, RMSNorm, Strided
from jaxdec.config.positions import NoPosition, RoPE


@dataclass(frozen=True)
class Rung:
    """One step of the curriculum: `adds` says in a line what is new."""

    name: str
    adds: str
    config: AnyModel


BIGRAM = BigramConfig(width=32, context=8)
SINGLE_HEAD = SingleHeadConfig(width=64, context=32)
MULTI_HEAD = MultiHeadConfig(heads=4, width=64, context=32)
ONE_BLOCK = OneBlockConfig(heads=4, width=64, context=32)
CHAR_DECODER = DecoderConfig(layers=3, heads=4, width=128, context=64, dropout=0.1)
CHAR_GPT = replace(CHAR_DECODER, layers=4, bias=False, dropout=0.0)
BABY_GPT = replace(CHAR_GPT, layers=6, heads=6, width=384, context=256, dropout=0.2)
GPT2 = replace(BABY_GPT, layers=12, heads=12, width=768, context=1024, vocab_size=50_257, bias=True, dropout=0.0)
GPT2_MEDIUM = replace(GPT2, layers=24, heads=16, width=1024)
GPT2_LARGE = replace(GPT2, layers=36, heads=20, width=1280)
GPT2_XL = replace(GPT2, layers=48, heads=25, width=1600)
MOE_GPT = replace(CHAR_GPT, mlp=(MLP(), MoE(experts=8, top_k=2, eval_capacity_factor=None)))
# Of two experts the router picks one: both would leave it nothing to decide. Its probability weighs the output, or it
# would not learn from the loss.
MODERN = DecoderConfig(
    layers=5,
    heads=6,
    kv_heads=2,
    width=384,
    context=256,
    position=RoPE(),
    norm=RMSNorm(),
    mlp=MoE(experts=2, top_k=1, expert=GatedMLP(hidden=1536), gates="all", eval_capacity_factor=None),
    bias=False,
    dropout=0.1,
)
# Its parts, experts aside, at the size of char-gpt.
SMALL_MODERN = replace(CHAR_GPT, kv_heads=2, position=RoPE(), norm=RMSNorm(), mlp=GatedMLP(hidden=344))
LOCAL = replace(CHAR_GPT, attention=(Local(window=16), Full()))
STRIDED = replace(CHAR_GPT, attention=(Strided(stride=8), Full()))
ALIBI = replace(CHAR_GPT, position=NoPosition(), attention=Full(alibi=8.0))
SINKS = replace(CHAR_GPT, attention=Local(window=16, sink=0.0))
SOFTCAP = replace(CHAR_GPT, attention=Full(softcap=50.0), logit_softcap=30.0)
ENCODER_DECODER = EncoderDecoderConfig(layers=2, heads=4, width=64, context=16, init_std=0.1)

LADDER: tuple[Rung, ...] = (
    Rung("bigram", "the next token from the one before it", BIGRAM),
    Rung("single-head", "attention: what earlier tokens say, by one causal head", SINGLE_HEAD),
    Rung("multi-head", "several heads, concatenated and projected", MULTI_HEAD),
    Rung("one-block", "feed-forward layer, residual sums, norms: a block", ONE_BLOCK),
    Rung("char-decoder", "blocks in a row, a final norm, a tied head", CHAR_DECODER),
    Rung("char-gpt", "one more block, no biases or dropout: nanoGPT for a CPU", CHAR_GPT),
    Rung("baby-gpt", "width, context, dropout: nanoGPT for a GPU", BABY_GPT),
    Rung("gpt2", "the published size, byte pairs, biases again", GPT2),
    Rung("gpt2-medium", "24 layers of width 1024", GPT2_MEDIUM),
    Rung("gpt2-large", "36 layers of width 1280", GPT2_LARGE),
    Rung("gpt2-xl", "48 layers of width 1600", GPT2_XL),
    Rung("moe-gpt", "a mixture of experts as every second feed-forward", MOE_GPT),
    Rung("modern", "rotary positions, RMSNorm, grouped queries, SwiGLU", MODERN),
    Rung("local", "a sliding window in every second layer", LOCAL),
    Rung("strided", "strided sparse attention in every second layer", STRIDED),
    Rung("alibi", "distance instead of positions", ALIBI),
    Rung("sinks", "windows only, and a place for unused attention", SINKS),
    Rung("softcap", "bounded scores and logits", SOFTCAP),
    Rung("encoder-decoder", "a source to attend to: the first transformer", ENCODER_DECODER),
)
