"""Seeded bugs in the head, the loss, accumulation and dropout."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import mutant
from torchref.layers import block, dropout
from torchref.layers.attention import attention
from torchref.models import decoder
from torchref.training import loop as train

# Head and loss


@mutant("token_embed")
def tied_head_without_gradient() -> Patch:
    return patch.object(decoder, "F", SimpleNamespace(linear=lambda x, weight: F.linear(x, weight.detach())))


@mutant("loss")
def mean_over_all_targets() -> Patch:
    return _loss(lambda loss, logits, targets, mask: loss(logits, targets, mask) * mask.mean())


@mutant("loss")
def loss_mask_ignored() -> Patch:
    return _loss(lambda loss, logits, targets, mask: loss(logits, targets, torch.ones_like(mask)))


@mutant("loss")
def targets_shifted_twice() -> Patch:
    return _loss(lambda loss, logits, targets, mask: loss(logits, targets.roll(-1, 1), mask))


def _loss(change: Callable[..., torch.Tensor]) -> Patch:
    original = train.language_loss
    return patch.object(train, "language_loss", lambda *inputs: change(original, *inputs))


@mutant("accumulation")
def mean_of_means() -> Patch:
    def accumulate(model: Any, batch: Any, parts: int, *_: Any) -> torch.Tensor:
        cut = [torch.from_numpy(batch[name]).chunk(parts) for name in ("tokens", "targets", "mask")]
        losses = [
            train.language_loss(model(tokens), targets.long(), mask) / mask.sum() / parts
            for tokens, targets, mask in zip(*cut, strict=True)
        ]
        sum(losses).backward()  # type: ignore[union-attr]
        return torch.stack(losses).sum().detach()

    return patch.object(train, "accumulate_gradients", accumulate)


# Dropout


@mutant("dropout")
def dropout_not_scaled_up() -> Patch:
    return patch.object(dropout.Dropout, "forward", lambda self, x: x * self.keep if self.active else x)


@mutant("dropout")
def dropout_before_the_residual_sum_left_out() -> Patch:
    def forward(self: Any, x: torch.Tensor, _: Any) -> tuple[torch.Tensor, None]:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp_dropout(self.mlp(self.mlp_norm(x))), None

    return patch.object(block.Block, "forward", forward)


@mutant("dropout")
def attention_weights_not_dropped() -> Patch:
    original = attention.attend
    whole = lambda *inputs, **given: original(*inputs, **given | {"dropout": dropout.Dropout(0.0)})
    return patch.object(attention, "attend", whole)


@mutant("dropout")
def dropped_and_kept_exchanged() -> Patch:
    return patch.object(
        dropout.Dropout, "forward", lambda self, x: torch.where(self.keep, 0, x) / (1 - self.rate) if self.active else x
    )


@mutant("dropout")
def kept_values_divided_by_the_rate_of_dropping() -> Patch:
    return patch.object(dropout.Dropout, "forward", lambda self, x: x * self.keep / self.rate if self.active else x)


@mutant("dropout")
def attention_weights_normed_again_after_dropping() -> Patch:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        if not self.active:
            return x
        kept = x * self.keep
        return kept / kept.sum(-1, keepdim=True).clamp_min(1e-9) if x.ndim == 4 else kept / (1 - self.rate)

    return patch.object(dropout.Dropout, "forward", forward)


@mutant("accumulation")
def last_part_alone_counts() -> Patch:
    """Gradients are set to zero before each part."""
    original = train.accumulate_gradients

    def accumulate(model: Any, batch: Any, parts: int, *_: Any) -> torch.Tensor:
        if parts == 1:
            return original(model, batch, parts)
        loss = original(model, batch, parts)
        for p in model.parameters():
            p.grad = None
        cut = {name: value[-(len(value) // parts) :] for name, value in batch.items()}
        original(model, cut, 1)
        share = float(cut["mask"].sum() / batch["mask"].sum())
        for p in model.parameters():
            p.grad *= share
        return loss

    return patch.object(train, "accumulate_gradients", accumulate)
