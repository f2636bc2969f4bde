"""The masked token loss that pretraining and finetuning share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def token_losses(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """-log p(target) in nats, [B,T]."""
    return F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none").view_as(targets_BT)


def token_loss(logits_BTV: Tensor, targets_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """sum(mask * loss) / sum(mask) in nats per token, a scalar; mask [B,T] is 1 where the target counts."""
    losses_BT = token_losses(logits_BTV, targets_BT)
    return (mask_BT * losses_BT).sum() / mask_BT.sum()
