"""For each field of the classes that a model is made of: another value, and a model that holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from jaxdec.config import parts, positions
from jaxdec.config.documents import Joined, Separate
from jaxdec.config.model import (
    BigramConfig,
    DecoderConfig,
    EncoderDecoderConfig,
    MultiHeadConfig,
    OneBlockConfig,
    SingleHeadConfig,
)

MODEL = DecoderConfig(layers=1, heads=2, width=16, context=16, vocab_size=11)
moe = parts.MoE(experts=4, top_k=1, min_capacity=1)
crowded = replace(moe, capacity_factor=0.5, eval_capacity_factor=0.5)
yarn = positions.YarnScaling(original_context=64, factor=4.0, beta_fast=2.0, beta_slow=0.2)  # a ramp over 4 pairs
noisy = replace(moe, capacity_factor=None)
plain = {"softcap": 2.0, "sink": 0.5, "alibi": 4.0}
gpt = {"layers": 2, "heads": 4, "width": 32, "context": 12, "vocab_size": 13, "init_std": 0.1}

# For each field of a class: the changed value, or (another base, the changed value) where it takes one.
VALUES: dict[type, dict[str, Any]] = {
    positions.Learned: {"init_std": 0.5},
    positions.Sinusoidal: {"base": 7.0},
    positions.NoPosition: {},
    positions.LinearScaling: {"factor": 3.0},
    positions.Llama3Scaling: {"original_context": 16, "factor": 2.0, "low_frequency": 0.5, "high_frequency": 9.0},
    positions.YarnScaling: {
        "original_context": (yarn, 32),
        "factor": (yarn, 2.0),
        "beta_fast": (yarn, 4.0),
        "beta_slow": (yarn, 0.7),
        "attention_factor": (yarn, 2.0),
        "truncate": (yarn, False),
    },
    positions.RoPE: {"theta": 50.0, "scaling": positions.LinearScaling(2.0), "channels": 4},
    parts.LayerNorm: {"epsilon": 0.3, "scale": False, "bias": False},
    parts.RMSNorm: {"epsilon": 0.3},
    parts.Full: plain,
    parts.Local: {**plain, "window": 3},
    parts.Strided: {**plain, "stride": 3},
    parts.MLP: {"expansion": 2, "activation": "relu", "hidden": 24},
    parts.GatedMLP: {"hidden": 8, "activation": "gelu_tanh", "clamp": 0.1, "up_shift": 1.0},
    parts.MoE: {
        "experts": 5,
        "top_k": 2,
        "expert": parts.GatedMLP(12),
        "shared": parts.MLP(),
        "shared_gate": (replace(moe, shared=parts.MLP()), True),
        "router_bias": True,
        "noisy": True,
        "gates": (replace(moe, top_k=2, capacity_factor=None, eval_capacity_factor=None), "all"),
        "capacity_factor": (noisy, 0.3),
        "eval_capacity_factor": (replace(moe, eval_capacity_factor=None), 0.3),
        "min_capacity": (crowded, 6),
        "balance_loss": 0.5,
        "z_loss": 0.5,
        "init_scale": 1.0,
    },
    DecoderConfig: {
        **gpt,
        "kv_heads": 1,
        "head_dim": 4,
        "position": positions.RoPE(),
        "norm": parts.RMSNorm(),
        "branch_norm": "post",
        "residual_scale": 0.5,
        "residual": "parallel",
        "qk_norm": parts.RMSNorm(),
        "qk_norm_over": (replace(MODEL, qk_norm=parts.RMSNorm()), "all"),
        "attention": parts.Local(window=2),
        "qkv_clip": 0.05,
        "documents": Separate(start=3),
        "score_scale": 0.1,
        "mlp": parts.GatedMLP(8),
        "bias": False,
        "attention_bias": "qkv",
        "embed_scale": 4.0,
        "tied_head": False,
        "head_bias": (replace(MODEL, tied_head=False), True),
        "logit_scale": 0.5,
        "logit_softcap": 2.0,
        "classes": 3,
        "dropout": 0.5,
    },
    Joined: {},
    Separate: {"start": 2},
    BigramConfig: {"width": 8, "context": 4, "vocab_size": 13, "init_std": 0.1},
    SingleHeadConfig: {"width": 8, "context": 12, "vocab_size": 13, "init_std": 0.1},
    MultiHeadConfig: {"heads": 8, "width": 8, "context": 12, "vocab_size": 13, "init_std": 0.1},
    OneBlockConfig: {**gpt, "norm": parts.RMSNorm(), "mlp": parts.GatedMLP(8), "dropout": 0.5},
    EncoderDecoderConfig: {
        **gpt,
        "position": positions.Learned(),
        "norm": parts.RMSNorm(),
        "norm_place": "pre",
        "mlp": parts.MLP(),
        "bias": False,
        "tied_head": False,
        "dropout": 0.5,
    },
}


def scaled(it: Any) -> dict[str, Any]:
    return {"model": replace(MODEL, head_dim=8, position=positions.RoPE(theta=100.0, scaling=it))}


# One instance of each class, and the settings of the run that holds it.
BASES: dict[type, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
    positions.Learned: (positions.Learned(), lambda it: {"model": replace(MODEL, position=it)}),
    positions.Sinusoidal: (positions.Sinusoidal(), lambda it: {"model": replace(MODEL, position=it)}),
    positions.LinearScaling: (positions.LinearScaling(2.0), lambda it: scaled(it)),
    positions.Llama3Scaling: (positions.Llama3Scaling(8, 4.0, 1.0, 3.0), lambda it: scaled(it)),
    positions.YarnScaling: (positions.YarnScaling(64), lambda it: scaled(it)),
    positions.RoPE: (positions.RoPE(), lambda it: {"model": replace(MODEL, position=it)}),
    Separate: (Separate(start=3), lambda it: {"model": replace(MODEL, documents=it)}),
    parts.LayerNorm: (parts.LayerNorm(), lambda it: {"model": replace(MODEL, norm=it)}),
    parts.RMSNorm: (parts.RMSNorm(), lambda it: {"model": replace(MODEL, norm=it)}),
    parts.Full: (parts.Full(), lambda it: {"model": replace(MODEL, attention=it)}),
    parts.Local: (parts.Local(window=5), lambda it: {"model": replace(MODEL, attention=it)}),
    parts.Strided: (parts.Strided(stride=2), lambda it: {"model": replace(MODEL, attention=it)}),
    parts.MLP: (parts.MLP(), lambda it: {"model": replace(MODEL, mlp=it)}),
    parts.GatedMLP: (parts.GatedMLP(24), lambda it: {"model": replace(MODEL, mlp=it)}),
    parts.MoE: (parts.MoE(4, top_k=1), lambda it: {"model": replace(MODEL, mlp=it)}),
    DecoderConfig: (MODEL, lambda it: {"model": it}),
    BigramConfig: (BigramConfig(width=6, vocab_size=11), lambda it: {"model": it}),
    SingleHeadConfig: (SingleHeadConfig(width=16, context=16, vocab_size=11), lambda it: {"model": it}),
    MultiHeadConfig: (MultiHeadConfig(heads=2, width=16, context=16, vocab_size=11), lambda it: {"model": it}),
    OneBlockConfig: (OneBlockConfig(heads=2, width=16, context=16, vocab_size=11), lambda it: {"model": it}),
    EncoderDecoderConfig: (EncoderDecoderConfig(1, 2, 16, 16, vocab_size=11), lambda it: {"model": it}),
}
