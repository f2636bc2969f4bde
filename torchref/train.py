"""One training step, with gradient accumulation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from jaxdec.config import RunConfig
from torchref.losses import token_losses
from torchref.optim import clip_gradients, learning_rate, set_learning_rate

Batch = Mapping[str, np.ndarray]  # tokens [B,T], targets [B,T], mask [B,T]


def accumulate_gradients(model: nn.Module, batch: Batch, microbatches: int) -> Tensor:
    """Adds the gradient of the batch's mean loss to `.grad` and returns that loss; B must be divisible.

    Each part is divided by the count of the whole batch, so that targets weigh the same whichever part they fall in;
    a mean of the parts' means would not.
    """
    count = float(batch["mask"].sum())
    total = torch.zeros(())
    parts = zip(*(np.split(batch[name], microbatches) for name in ("tokens", "targets", "mask")), strict=True)
    for tokens, targets, mask in parts:
        losses_BT = token_losses(model(torch.from_numpy(tokens).long()), torch.from_numpy(targets).long())
        loss = (torch.from_numpy(mask) * losses_BT).sum() / count
        loss.backward()
        total = total + loss.detach()
    return total


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: RunConfig,
    batch: Batch,
    step: int,
    *,
    microbatches: int = 1,
) -> dict[str, float]:
    """One update from one global batch; `step` counts the updates already made.

    Returns the loss (nats per token), the gradient's norm before clipping and the learning rate, all of this step.
    """
    optimizer.zero_grad(set_to_none=True)
    loss = accumulate_gradients(model, batch, microbatches)
    norm = clip_gradients(model.parameters(), config.optim.clip_norm)
    rate = learning_rate(config.optim, config.decay_steps, step)
    set_learning_rate(optimizer, rate)
    optimizer.step()
    return {"loss": loss.item(), "grad_norm": norm.item(), "learning_rate": rate}
