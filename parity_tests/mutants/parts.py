"""Seeded bugs in grouped queries, attention patterns and gated layers."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

from jaxdec.config.parts import Local, Strided
from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import mutant, together
from torchref.layers import mlp, norm, position
from torchref.layers.attention import attention, kernel
from torchref.layers.promotion import at_least_float32
from torchref.models import decoder

MODERN, DENSE, LOCAL, STRIDED = "linear scaling", "modern, dense", "local", "strided"
ALIBI, SINKS, SOFTCAP = "alibi", "sinks", "softcap"
FIRST = "blocks.0.attention"

# Grouped queries, norms of queries and keys


@mutant(FIRST, MODERN)
def key_heads_tiled_instead_of_repeated() -> Patch:
    def tiled(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, is_causal: bool) -> torch.Tensor:
        k, v = (part[:, ::2].repeat(1, 2, 1, 1) for part in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return patch.object(kernel, "F", SimpleNamespace(scaled_dot_product_attention=tiled))


@mutant("blocks.0.attention_norm", DENSE)
def rms_epsilon_outside_the_root() -> Patch:
    forward = lambda self, x: x / (x.square().mean(-1, keepdim=True).sqrt() + self.epsilon) * self.weight
    return patch.object(norm.RMSNormModule, "forward", forward)


@mutant("blocks.0.attention_norm", MODERN)
def rms_scale_from_zero() -> Patch:
    """Gemma's form, in which a scale of zero means one."""
    original = norm.RMSNormModule.forward
    return patch.object(
        norm.RMSNormModule, "forward", lambda self, x: original(self, x) * (1 + self.weight) / self.weight
    )


@mutant("blocks.0.attention.query_norm", DENSE)
def rotated_before_the_norm_of_queries_and_keys() -> Patch:
    """The lengths are the same, and the scale comes after the turn."""
    scales: list[torch.Tensor] = []
    plain = norm.RMSNormModule.forward

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        if x.ndim < 4:
            return plain(self, x)
        scales.append(self.weight)
        return plain(self, x) / self.weight

    original = position.rotate
    rotate = lambda x, rope, positions: original(x, rope, positions) * scales.pop(0)

    return together(patch.object(norm.RMSNormModule, "forward", forward), patch.object(attention, "rotate", rotate))


# Attention patterns


def _attend(**changes: Callable[[Any], Any]) -> Patch:
    """Self-attention with another value of the named arguments."""
    original = attention.attend

    def attend(*inputs: torch.Tensor, **given: Any) -> torch.Tensor:
        return original(*inputs, **given | {name: change(given[name]) for name, change in changes.items()})

    return patch.object(attention, "attend", attend)


def _allows(pattern: type, rule: Callable[..., Any]) -> Patch:
    """Changes the rule of the twin alone: JAX's result has been computed, and is kept, before."""

    def changed(value: Any) -> Any:
        other = replace(value)
        if isinstance(value, pattern):
            object.__setattr__(other, "allowed", lambda query, key: rule(value, query, key))
        return other

    return _attend(pattern=changed)


@mutant(FIRST, LOCAL)
def window_one_too_wide() -> Patch:
    return _allows(Local, lambda value, query, key: (key <= query) & (query - key <= value.window))


@mutant(FIRST, LOCAL)
def window_on_both_sides() -> Patch:
    return _allows(Local, lambda value, query, key: abs(query - key) < value.window)


@mutant(FIRST, STRIDED)
def strides_counted_from_the_start() -> Patch:
    rule = lambda value, query, key: (key <= query) & ((query - key < value.stride) | (key % value.stride == 0))
    return _allows(Strided, rule)


@mutant(FIRST, ALIBI)
def alibi_slopes_from_head_zero() -> Patch:
    shifted = lambda heads, largest: 2.0 ** (-largest * torch.arange(heads, dtype=torch.float64) / heads)
    return patch.object(kernel, "alibi_slopes", shifted)


@mutant(FIRST, ALIBI)
def alibi_rewards_distance() -> Patch:
    original = position.alibi_slopes
    return patch.object(kernel, "alibi_slopes", lambda heads, largest: -original(heads, largest))


@mutant(FIRST, SINKS)
def sink_left_out() -> Patch:
    return _attend(sink_H=lambda sink: None)


@mutant(FIRST, SINKS)
def one_sink_for_all_heads() -> Patch:
    return _attend(sink_H=lambda sink: sink.mean().expand_as(sink))


@mutant(FIRST, SOFTCAP)
def softcap_left_out() -> Patch:
    return _attend(softcap=lambda softcap: None)


@mutant(FIRST, SOFTCAP)
def softcap_before_the_scale() -> Patch:
    def attend(q: Any, k: Any, v: Any, *, softcap: float, **_: Any) -> torch.Tensor:
        scores = at_least_float32(q) @ k.transpose(-2, -1)
        scores = softcap * torch.tanh(scores / softcap) * q.shape[-1] ** -0.5
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return torch.softmax(scores.masked_fill(hidden, -torch.inf), -1) @ v

    return patch.object(attention, "attend", attend)


@mutant("model", SOFTCAP)
def logit_softcap_left_out() -> Patch:
    return patch.object(decoder, "torch", SimpleNamespace(tanh=lambda x: x, arange=torch.arange))


# Gated layers


@mutant("blocks.0.mlp", MODERN)
def gate_and_up_swapped() -> Patch:
    return patch.object(mlp.GatedMLPModule, "forward", lambda self, x: self.down(F.silu(self.up(x)) * self.gate(x)))


@mutant("blocks.0.mlp", MODERN)
def gated_by_gelu() -> Patch:
    return patch.object(mlp.GatedMLPModule, "forward", lambda self, x: self.down(F.gelu(self.gate(x)) * self.up(x)))
