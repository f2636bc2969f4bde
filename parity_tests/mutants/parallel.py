"""Seeded bugs in what GPT-NeoX, Cohere and OLMo have beside the common parts: branches in parallel, rotary positions of
some channels, clipped projections, norms whose biases are their own."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import mutant
from torchref.layers import block, mlp, norm, position
from torchref.layers.attention import attention
from torchref.models import decoder

OWN, ONE = "in parallel", "in parallel, one norm"
FIRST = "blocks.0.attention"

# Which x a branch reads


@mutant("blocks.0", OWN)
def branches_one_after_the_other() -> Patch:
    return patch.dict(block.PARALLEL, parallel=False)


@mutant("blocks.0", ONE)
def branches_with_one_norm_one_after_the_other() -> Patch:
    return patch.dict(block.PARALLEL, parallel_one_norm=False)


@mutant("blocks.0", OWN)
def both_branches_read_the_norm_of_attention() -> Patch:
    def forward(self: Any, x: Tensor, _: Any) -> tuple[Tensor, None]:
        read = self.attention_norm(x)
        return x + self.attention(read) + self.mlp(read), None

    return patch.object(block.Block, "forward", forward)


@mutant("blocks.0", ONE)
def feed_forward_layer_reads_x_without_its_norm() -> Patch:
    def forward(self: Any, x: Tensor, _: Any) -> tuple[Tensor, None]:
        attended = self.attention_post_norm(self.attention(self.attention_norm(x)))
        return x + attended + self.mlp_post_norm(self.mlp(x)), None

    return patch.object(block.Block, "forward", forward)


# Rotary positions of some channels


def _rotated(turn: Callable[[Tensor, Any], Tensor]) -> Patch:
    return patch.object(attention, "rotate", lambda x, rope, positions: turn(x, rope))


@mutant(FIRST, OWN)
def all_channels_turned() -> Patch:
    original = position.rotate
    return _rotated(lambda x, rope: original(x, replace(rope, channels=None)))


@mutant(FIRST, OWN)
def last_channels_turned_instead_of_the_first() -> Patch:
    original = position.rotate

    def turn(x: Tensor, rope: Any) -> Tensor:
        rest = x.shape[-1] - rope.channels
        return torch.cat([x[..., :rest], original(x[..., rest:], rope)], -1)

    return _rotated(turn)


@mutant(FIRST, OWN)
def frequencies_counted_over_the_whole_head() -> Patch:
    original = position.rope_frequencies

    def frequencies(rope: Any, channels: int) -> tuple[Tensor, float]:
        table, factor = original(rope, channels + 2)
        return table[: channels // 2], factor

    return patch.object(position, "rope_frequencies", frequencies)


@mutant(FIRST, OWN)
def halves_of_the_whole_head_turned() -> Patch:
    """Pairs of channels are half a head apart, of which the first few turn."""

    def turn(x: Tensor, rope: Any) -> Tensor:
        frequencies, factor = position.rope_frequencies(rope, rope.channels)
        angles = torch.arange(x.shape[2], dtype=x.dtype)[:, None] * F.pad(frequencies, (0, 1))
        a, b = x.chunk(2, -1)
        return factor * torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)

    return _rotated(turn)


# Clipped projections


def _clipped(change: Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor, Tensor]]) -> Patch:
    """Attention with another clip in place of its own."""
    original, given = attention.Heads.forward, attention.attend

    def forward(self: Any, x: Tensor, documents: Any) -> Tensor:
        limit = self.config.qkv_clip
        with patch.object(self, "config", replace(self.config, qkv_clip=None)):
            mixed = lambda q, k, v, **others: given(*change(q, k, v, limit), **others)
            with patch.object(attention, "attend", mixed):
                return original(self, x, documents)

    return patch.object(attention.Heads, "forward", forward)


@mutant(FIRST, ONE)
def clipped_after_the_rotation() -> Patch:
    return _clipped(lambda q, k, v, most: (q.clamp(-most, most), k.clamp(-most, most), v.clamp(-most, most)))


@mutant(FIRST, ONE)
def nothing_clipped() -> Patch:
    return _clipped(lambda q, k, v, most: (q, k, v))


# Biases that stand alone


@mutant("model", OWN)
def head_bias_left_out() -> Patch:
    original = decoder.Decoder.forward

    def forward(self: Any, tokens: Tensor) -> Any:
        output = original(self, tokens)
        return output._replace(logits_BTV=output.logits_BTV - self.head.bias)

    return patch.object(decoder.Decoder, "forward", forward)


@mutant("blocks.0.attention.out", OWN)
def bias_of_attention_left_out() -> Patch:
    original = attention.Attention.forward

    def forward(self: Any, *inputs: Any) -> Tensor:
        with patch.object(self.out, "forward", lambda x: F.linear(x, self.out.weight)):
            return original(self, *inputs)

    return patch.object(attention.Attention, "forward", forward)


@mutant("blocks.0.mlp", OWN)
def relu_not_squared() -> Patch:
    return patch.dict(mlp.ACTIVATIONS, relu_squared=F.relu)


@mutant("blocks.0.attention_norm", OWN)
def norm_biases_left_out() -> Patch:
    forward = lambda self, x: F.layer_norm(x, x.shape[-1:], self.weight, None, self.epsilon)
    return patch.object(norm.LayerNormModule, "forward", forward)


@mutant(FIRST, OWN)
def queries_turned_by_all_channels_and_keys_by_some() -> Patch:
    original, calls = position.rotate, iter(range(10**6))
    turn = lambda x, rope: original(x, rope if next(calls) % 2 else replace(rope, channels=None))
    return _rotated(turn)
