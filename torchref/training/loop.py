"""One training step, with gradient accumulation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from jaxdec.config.run import RunConfig
from torchref.models.language_model import LanguageModel
from torchref.training.losses import language_loss
from torchref.training.optim import clip_by_global_norm, learning_rate, set_learning_rate

Batch = Mapping[str, np.ndarray]  # tokens and targets int [B,T], mask float [B,T]


def accumulate_gradients(model: LanguageModel, batch: Batch, microbatches: int) -> Tensor:
    """Adds the gradient of the batch's mean loss to `.grad` and returns that loss; B must be divisible.

    Each part's sum is divided by the targets of the whole batch, so that a target weighs the same whichever part it
    falls in; a mean of the parts' means would not.
    """
    device = next(model.parameters()).device
    names = ("targets", "mask", "tokens", *model.inputs)
    leaves = [torch.from_numpy(batch[name]).to(device) for name in names]
    count = leaves[1].sum()
    losses = []
    for targets, mask, *inputs in zip(*(leaf.chunk(microbatches) for leaf in leaves), strict=True):
        loss = language_loss(model(*inputs), targets.long(), mask) / count
        loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def train_step(
    model: LanguageModel,
    optimizer: torch.optim.Optimizer,
    config: RunConfig,
    batch: Batch,
    step: int,
    *,
    microbatches: int = 1,
) -> dict[str, Tensor]:
    """One update from one global batch; `step` counts the updates already made.

    Returns this step's loss (nats per token) and the gradient's norm before clipping.
    """
    optimizer.zero_grad(set_to_none=True)
    loss = accumulate_gradients(model, batch, microbatches)
    return {"loss": loss, "gradient_norm": update(model, optimizer, config, step)}


def update(model: LanguageModel, optimizer: torch.optim.Optimizer, config: RunConfig, step: int) -> Tensor:
    """Clips the gradients in `.grad` and applies them at this step's learning rate; returns their norm before that."""
    norm = clip_by_global_norm(model.parameters(), config.optim.clip_norm)
    set_learning_rate(optimizer, learning_rate(config.optim, config.decay_steps, step))
    optimizer.step()
    return norm
