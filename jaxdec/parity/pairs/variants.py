"""Tiny models with every part that a decoder can have, for tests and seeded bugs that go through all of them."""

from __future__ import annotations

from dataclasses import replace

from jaxdec.config.documents import Separate
from jaxdec.config.model import AnyModel, BigramConfig, DecoderConfig, MultiHeadConfig, OneBlockConfig, SingleHeadConfig
from jaxdec.config.parts import MLP, Full, GatedMLP, LayerNorm, Local, MoE, RMSNorm, Strided
from jaxdec.config.positions import LinearScaling, Llama3Scaling, NoPosition, RoPE, Sinusoidal, YarnScaling

GPT = DecoderConfig(layers=2, heads=4, width=32, context=16, vocab_size=37)
ROPE = replace(GPT, position=RoPE(theta=100.0), norm=RMSNorm(), bias=False, tied_head=False, mlp=GatedMLP(hidden=48))
LONG = Llama3Scaling(original_context=8, factor=4.0, low_frequency=1.0, high_frequency=3.0)
YARN = YarnScaling(original_context=64, factor=4.0, beta_fast=4.0)  # so that the ramp lies among the four pairs
DROPLESS = MoE(
    experts=4, top_k=2, eval_capacity_factor=None
)  # what is decoded token by token cannot drop as a batch does
CLAMPED = replace(DROPLESS, expert=GatedMLP(24, activation="gelu_sigmoid", clamp=0.5, up_shift=1.0), router_bias=True)
UNROUNDED = replace(YARN, truncate=False)

DENSE: dict[str, DecoderConfig] = {
    "gpt": GPT,
    "one head, untied, no bias, erf": replace(
        GPT, heads=1, tied_head=False, bias=False, mlp=MLP(expansion=4, activation="gelu")
    ),
    "three layers, untied, relu": replace(
        GPT, layers=3, heads=2, tied_head=False, mlp=MLP(hidden=56, activation="relu")
    ),
}
RUNGS: dict[str, AnyModel] = {
    "bigram": BigramConfig(width=12, context=16, vocab_size=37),
    "single head": SingleHeadConfig(width=16, context=16, vocab_size=37),
    "multi head": MultiHeadConfig(heads=4, width=32, context=16, vocab_size=37),
    "one block": OneBlockConfig(heads=4, width=32, context=16, layers=1, vocab_size=37),
    "moe-gpt": replace(GPT, mlp=(MLP(expansion=2), DROPLESS)),
    "modern": replace(ROPE, kv_heads=2, mlp=MoE(experts=2, top_k=1, expert=GatedMLP(24), eval_capacity_factor=None)),
    "modern, dense": replace(
        ROPE, kv_heads=1, head_dim=6, bias=True, qk_norm=RMSNorm(1e-6), position=RoPE(theta=100.0, scaling=LONG)
    ),
    "yarn": replace(ROPE, position=RoPE(theta=100.0, scaling=YARN)),
    "linear scaling": replace(ROPE, kv_heads=2, position=RoPE(theta=1e4, scaling=LinearScaling(factor=2.0))),
    "sinusoidal": replace(GPT, position=Sinusoidal(base=100.0), norm=RMSNorm()),
    "local": replace(GPT, attention=(Local(window=5), Full())),
    "local, rotary": replace(ROPE, kv_heads=2, attention=Local(window=3)),
    "strided": replace(GPT, attention=Strided(stride=3)),
    "alibi": replace(GPT, position=NoPosition(), attention=(Full(alibi=8.0), Local(window=6, alibi=4.0))),
    "sinks": replace(ROPE, kv_heads=2, attention=(Local(window=4, sink=0.5), Full(sink=-0.5))),
    "softcap": replace(ROPE, attention=Full(softcap=2.0), logit_softcap=3.0),
    "norms after": replace(
        ROPE, kv_heads=2, branch_norm="post", qk_norm=RMSNorm(1e-6), qk_norm_over="all", attention_bias="qkv"
    ),
    "norms on both sides": replace(
        ROPE,
        kv_heads=1,
        head_dim=6,
        branch_norm="both",
        attention_bias=True,
        score_scale=0.3,
        embed_scale=32**0.5,
        mlp=GatedMLP(48, activation="gelu_tanh"),
        tied_head=True,
    ),
    "scaled, layers differ": replace(
        ROPE,
        kv_heads=2,
        position=(RoPE(theta=100.0), NoPosition()),
        residual_scale=0.3,
        logit_scale=0.25,
        mlp=(GatedMLP(48), replace(DROPLESS, expert=GatedMLP(24), shared=GatedMLP(40), shared_gate=True)),
    ),
    "in parallel": replace(
        GPT,
        residual="parallel",
        position=RoPE(theta=100.0, scaling=YARN, channels=6),
        bias=False,
        attention_bias="out",
        norm=LayerNorm(bias=True),
        mlp=MLP(activation="relu_squared"),
        tied_head=False,
        head_bias=True,
    ),
    "in parallel, one norm": replace(
        ROPE,
        kv_heads=2,
        residual="parallel_one_norm",
        branch_norm="both",
        norm=LayerNorm(scale=False),
        attention_bias="qkv",
        qkv_clip=0.5,
    ),
    "documents": replace(GPT, attention=(Local(window=4), Full()), documents=Separate(start=5)),
    "clamped experts": replace(ROPE, bias=True, attention_bias=False, position=RoPE(100.0, UNROUNDED), mlp=CLAMPED),
}
MODELS: dict[str, AnyModel] = {**DENSE, **RUNGS}
