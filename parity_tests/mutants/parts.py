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
from torchref.layers.attention import attention
from torchref.layers.promotion import at_least_float32
from torchref.models import decoder

MODERN, DENSE, LOCAL, STRIDED = "linear scaling", "modern, dense", "local", "strided"
ALIBI, SINKS, SOFTCAP = "alibi", "sinks", "softcap"
FIRST = "blocks.0.attention"

# Grouped queries, norms of queries and keys


@mutant(FIRST, MODERN)
def key_heads_tiled_instead_of_repeated() -> Patch:
    def kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, is_causal: bool) -> torch.Tensor:
        k, v = (part[:, ::2].repeat(1, 2, 1, 1) for part in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return patch.object(attention, "F", SimpleNamespace(scaled_dot_product_attention=kernel))


@mutant("blocks.0.attention_norm", DENSE)
def rms_epsilon_outside_the_root() -> Patch:
    forward = lambda self, x: x / (x.square().mean(-1, keepdim=True).sqrt() + self.epsilon) * self.weight
    return patch.object(norm.RMSNorm, "forward", forward)


@mutant("blocks.0.attention_norm", MODERN)
def rms_scale_from_zero() -> Patch:
    """Gemma's form, in which a scale of zero means one."""
    original = norm.RMSNorm.forward
    return patch.object(norm.RMSNorm, "forward", lambda self, x: original(self, x) * (1 + self.weight) / self.weight)


@mutant("blocks.0.attention.query_norm", DENSE)
def rotated_before_the_norm_of_queries_and_keys() -> Patch:
    """The lengths are the same, and the scale comes after the turn."""
    scales: list[torch.Tensor] = []
    plain = norm.RMSNorm.forward

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        if x.ndim < 4:
            return plain(self, x)
        scales.append(self.weight)
        return plain(self, x) / self.weight

    original = position.rotate
    rotate = lambda x, rope: original(x, rope) * scales.pop(0)

    return together(patch.object(norm.RMSNorm, "forward", forward), patch.object(attention, "rotate", rotate))


# Attention patterns


def _sees(pattern: type, rule: Callable[..., Any]) -> Patch:
    """Changes the rule of the twin alone: JAX's result has been computed, and is kept, before."""
    original = attention.attend

    def attend(q: Any, k: Any, v: Any, value: Any, *others: Any) -> torch.Tensor:
        changed = replace(value)
        if isinstance(value, pattern):
            object.__setattr__(changed, "allowed", lambda query, key: rule(value, query, key))
        return original(q, k, v, changed, *others)

    return patch.object(attention, "attend", attend)


@mutant(FIRST, LOCAL)
def window_one_too_wide() -> Patch:
    return _sees(Local, lambda value, query, key: (key <= query) & (query - key <= value.window))


@mutant(FIRST, LOCAL)
def window_on_both_sides() -> Patch:
    return _sees(Local, lambda value, query, key: abs(query - key) < value.window)


@mutant(FIRST, STRIDED)
def strides_counted_from_the_start() -> Patch:
    rule = lambda value, query, key: (key <= query) & ((query - key < value.stride) | (key % value.stride == 0))
    return _sees(Strided, rule)


@mutant(FIRST, ALIBI)
def alibi_slopes_from_head_zero() -> Patch:
    shifted = lambda heads, largest: 2.0 ** (-largest * torch.arange(heads, dtype=torch.float64) / heads)
    return patch.object(attention, "alibi_slopes", shifted)


@mutant(FIRST, ALIBI)
def alibi_rewards_distance() -> Patch:
    original = position.alibi_slopes
    return patch.object(attention, "alibi_slopes", lambda heads, largest: -original(heads, largest))


def _attend(change: Callable[..., torch.Tensor]) -> Patch:
    original = attention.attend
    return patch.object(attention, "attend", lambda *inputs: change(original, *inputs))


@mutant(FIRST, SINKS)
def sink_left_out() -> Patch:
    return _attend(lambda original, q, k, v, pattern, sink, *others: original(q, k, v, pattern, None, *others))


@mutant(FIRST, SINKS)
def one_sink_for_all_heads() -> Patch:
    return _attend(
        lambda original, q, k, v, pattern, sink, *others: original(
            q, k, v, pattern, sink.mean().expand_as(sink), *others
        )
    )


@mutant(FIRST, SOFTCAP)
def softcap_left_out() -> Patch:
    return _attend(
        lambda original, q, k, v, pattern, *others: original(q, k, v, replace(pattern, softcap=None), *others)
    )


@mutant(FIRST, SOFTCAP)
def softcap_before_the_scale() -> Patch:
    def change(original: Any, q: Any, k: Any, v: Any, pattern: Any, *_: Any) -> torch.Tensor:
        scores = at_least_float32(q) @ k.transpose(-2, -1)
        scores = pattern.softcap * torch.tanh(scores / pattern.softcap) * q.shape[-1] ** -0.5
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return torch.softmax(scores.masked_fill(hidden, -torch.inf), -1) @ v

    return _attend(change)


@mutant("model", SOFTCAP)
def logit_softcap_left_out() -> Patch:
    return patch.object(decoder, "torch", SimpleNamespace(tanh=lambda x: x, arange=torch.arange))


# Gated layers


@mutant("blocks.0.mlp", MODERN)
def gate_and_up_swapped() -> Patch:
    return patch.object(mlp.SwiGLU, "forward", lambda self, x: self.down(F.silu(self.up(x)) * self.gate(x)))


@mutant("blocks.0.mlp", MODERN)
def gated_by_gelu() -> Patch:
    return patch.object(mlp.SwiGLU, "forward", lambda self, x: self.down(F.gelu(self.gate(x)) * self.up(x)))
