"""Whether two configs are the same function of their weights: settings of training, and redundant ones, are ignored."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any

from jaxdec.config.documents import Joined
from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, GatedMLP, LayerNorm, MoE, Norm
from jaxdec.config.positions import Learned, RoPE, YarnScaling
from jaxdec.weights.huggingface.layers import shortest

SCALES = ("residual_scale", "embed_scale", "logit_scale")


def first_difference(config: DecoderConfig, other: DecoderConfig) -> str:
    """The first field that makes another function of `other`, with both values; "" where none does."""
    return _difference(plain(config), plain(other), "model")


def plain(config: DecoderConfig) -> DecoderConfig:
    """The config with every default spelled out, and with one value for whatever does not change the function: dropout,
    first values, losses of the router, capacities in training, and whether documents that share an example read one
    another."""
    every = range(config.layers)
    attention = [config.attention_of(layer) for layer in every]
    return replace(
        config,
        kv_heads=config.resolved_kv_heads,
        head_dim=config.resolved_head_dim,
        norm=_norm(config.norm, config.bias),
        attention_bias=_attention_bias(config.qkv_bias, config.out_bias),
        score_scale=config.score_scale or config.resolved_head_dim**-0.5,
        position=shortest([_position(config.position_of(layer), config.resolved_head_dim) for layer in every]),
        **{scale: None for scale in SCALES if getattr(config, scale) == 1},
        attention=shortest([each if each.sink is None else replace(each, sink=0.0) for each in attention]),
        mlp=shortest([_mlp(config.mlp_of(layer), config.width) for layer in every]),
        dropout=0.0,
        documents=Joined(),  # for a text that is one document both are the same function
    )


def _attention_bias(qkv: bool, out: bool) -> Any:
    return qkv if qkv == out else "qkv" if qkv else "out"


def _norm(norm: Norm, bias: bool) -> Norm:
    return replace(norm, bias=bias) if isinstance(norm, LayerNorm) and norm.bias is None else norm


def _position(position: Any, head_dim: int) -> Any:
    if isinstance(position, Learned):
        return Learned()
    if isinstance(position, RoPE) and position.channels == head_dim:
        position = replace(position, channels=None)
    if isinstance(position, RoPE) and isinstance(position.scaling, YarnScaling):
        yarn = position.scaling
        factor = yarn.attention_factor or 0.1 * math.log(yarn.factor) + 1
        return replace(position, scaling=replace(yarn, attention_factor=factor))
    return position


def _mlp(part: MLP | GatedMLP | MoE, width: int) -> MLP | GatedMLP | MoE:
    match part:
        case MLP():
            return MLP(hidden=part.resolved_hidden(width), activation=part.activation)
        case MoE():
            free = {name: getattr(MoE(part.experts), name) for name in ("balance_loss", "z_loss", "init_scale")}
            expert: Any = _mlp(part.expert, width)
            shared: Any = part.shared and _mlp(part.shared, width)
            least = MoE(part.experts).min_capacity if part.eval_capacity_factor is None else part.min_capacity
            return replace(part, expert=expert, shared=shared, capacity_factor=None, min_capacity=least, **free)
        case _:
            return part


def _difference(ours: Any, theirs: Any, path: str) -> str:
    if ours == theirs:
        return ""
    if is_dataclass(ours) and type(ours) is type(theirs):
        inner = ((getattr(ours, f.name), getattr(theirs, f.name), f"{path}.{f.name}") for f in fields(ours))
        return next(found for each in inner if (found := _difference(*each)))
    return f"{path} = {ours!r} (it would be {theirs!r})"
