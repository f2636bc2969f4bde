"""One training step, with gradient accumulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jaxdec.config.run import RunConfig
from torchref.models.language_model import LanguageModel
from torchref.training.losses import language_loss
from torchref.training.optim import clip_by_global_norm, learning_rate, set_learning_rate

Batch = Mapping[str, np.ndarray]  # leaves [B, ...]; of a language model: tokens and targets int [B,T], mask float [B,T]
Part = Mapping[str, Tensor]  # a batch or a part of one, on the model's device


class Objective(NamedTuple):
    """What is minimised: the sum of `loss` over a batch, divided by its `count`, which the batch alone decides."""

    loss: Callable[[LanguageModel, Part], Tensor]
    count: Callable[[Part], Tensor]


def next_token_loss(model: LanguageModel, batch: Part) -> Tensor:
    """The sum over the targets that count, in nats."""
    output = model(*(batch[name] for name in ("tokens", *model.inputs)))
    return language_loss(output, batch["targets"].long(), batch["mask"])


def counted_targets(batch: Part) -> Tensor:
    """How many targets count."""
    return batch["mask"].sum()


LANGUAGE = Objective(next_token_loss, counted_targets)


def accumulate_gradients(
    model: LanguageModel, batch: Batch, microbatches: int, objective: Objective = LANGUAGE
) -> Tensor:
    """Adds the gradient of the batch's mean loss to `.grad` and returns that loss; B must be divisible.

    Each part's sum is divided by the count of the whole batch, so that a target weighs the same whichever part it falls
    in; a mean of the parts' means would not.
    """
    device = next(model.parameters()).device
    leaves = {name: torch.from_numpy(leaf).to(device) for name, leaf in batch.items()}
    count, losses = objective.count(leaves), []
    for part in zip(*(leaf.chunk(microbatches) for leaf in leaves.values()), strict=True):
        loss = objective.loss(model, dict(zip(leaves, part, strict=True))) / count
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
    objective: Objective = LANGUAGE,
) -> dict[str, Tensor]:
    """One update from one global batch; `step` counts the updates already made.

    Returns this step's loss (nats per token, or per whatever `objective` counts) and the gradient's norm before
    clipping.
    """
    optimizer.zero_grad(set_to_none=True)
    loss = accumulate_gradients(model, batch, microbatches, objective)
    return {"loss": loss, "gradient_norm": update(model, optimizer, config, step)}


def update(model: LanguageModel, optimizer: torch.optim.Optimizer, config: RunConfig, step: int) -> Tensor:
    """Clips the gradients in `.grad` and applies them at this step's learning rate; returns their norm before that."""
    norm = clip_by_global_norm(model.parameters(), config.optim.clip_norm)
    set_learning_rate(optimizer, learning_rate(config.optim, config.decay_steps, step))
    optimizer.step()
    return norm
