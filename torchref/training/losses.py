"""Losses over model outputs, all with one meaning of "mean": sum(mask * loss) / sum(mask) over the whole batch.

Functions return sums, so that microbatches can add theirs and divide once.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from torchref.models.output import Output


def token_losses(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Cross entropy of each target in nats, [B,T], in the dtype of the logits."""
    return F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none").view_as(targets_BT)


def language_loss(output: Output, targets_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The sum over the targets that count (mask 1), a scalar; an auxiliary loss counts once for each of them."""
    total = (token_losses(output.logits_BTV, targets_BT) * mask_BT).sum()
    for loss in output.aux.values():
        total = total + mask_BT.sum() * loss
    return total
