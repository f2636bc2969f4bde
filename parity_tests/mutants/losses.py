"""Seeded bugs in the head, the loss, accumulation and dropout."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

from parity_tests.mutants.registry import Patch, mutant
from torchref import train
from torchref.layers import attention, block, dropout
from torchref.models import decoder

# Head and loss


@mutant("gradients", "token_embed.embedding")
def tied_head_without_gradient() -> Patch:
    return patch.object(decoder, "F", SimpleNamespace(linear=lambda x, weight: F.linear(x, weight.detach())))


@mutant("loss", "loss")
def mean_over_all_targets() -> Patch:
    return _loss(lambda loss, logits, targets, mask: loss(logits, targets, mask) * mask.mean())


@mutant("loss", "loss")
def loss_mask_ignored() -> Patch:
    return _loss(lambda loss, logits, targets, mask: loss(logits, targets, torch.ones_like(mask)))


@mutant("loss", "loss")
def targets_shifted_twice() -> Patch:
    return _loss(lambda loss, logits, targets, mask: loss(logits, targets.roll(-1, 1), mask))


def _loss(change: Callable[..., torch.Tensor]) -> Patch:
    original = train.language_loss
    return patch.object(train, "language_loss", lambda *inputs: change(original, *inputs))


@mutant("accumulation", "loss")
def mean_of_means() -> Patch:
    def accumulate(model: Any, batch: Any, parts: int) -> torch.Tensor:
        cut = [torch.from_numpy(batch[name]).chunk(parts) for name in ("tokens", "targets", "mask")]
        losses = [
            train.language_loss(model(tokens), targets.long(), mask) / mask.sum() / parts
            for tokens, targets, mask in zip(*cut, strict=True)
        ]
        sum(losses).backward()  # type: ignore[union-attr]
        return torch.stack(losses).sum().detach()

    return patch.object(train, "accumulate_gradients", accumulate)


# Dropout


@mutant("dropout", "loss")
def dropout_not_scaled_up() -> Patch:
    return patch.object(dropout.Dropout, "forward", lambda self, x: x * self.keep if self.active else x)


@mutant("dropout", "loss")
def dropout_before_the_residual_sum_left_out() -> Patch:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp_dropout(self.mlp(self.mlp_norm(x))), None

    return patch.object(block.Block, "forward", forward)


@mutant("dropout", "loss")
def attention_weights_not_dropped() -> Patch:
    original = attention.attend
    whole = lambda q, k, v, pattern, sink, drop, scale: original(q, k, v, pattern, sink, dropout.Dropout(0.0), scale)
    return patch.object(attention, "attend", whole)
