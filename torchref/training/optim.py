"""AdamW (Loshchilov and Hutter 2019, algorithm 2) with warm-up, cosine decay and a global-norm clip."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from jaxdec.config.run import OptimConfig


def learning_rate(config: OptimConfig, decay_steps: int, step: int) -> float:
    """The rate of the update that follows `step` completed ones: linear warm-up, then a cosine from the peak at
    `warmup_steps` to the minimum at `decay_steps`, which is kept from there on."""
    peak, floor, warmup = config.learning_rate, config.min_learning_rate, config.warmup_steps
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if step > decay_steps:
        return floor
    progress = (step - warmup) / max(1, decay_steps - warmup)
    return floor + 0.5 * (1 + math.cos(math.pi * progress)) * (peak - floor)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Matrices, embeddings included, are decayed; vectors (norm scales and biases, those of stacked experts included)
    are not."""

    def is_decayed(name: str, parameter: Tensor) -> bool:
        return parameter.ndim >= 2 and not name.endswith("bias")

    named = list(model.named_parameters())
    return [
        {"params": [p for name, p in named if is_decayed(name, p)], "weight_decay": weight_decay},
        {"params": [p for name, p in named if not is_decayed(name, p)], "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: OptimConfig, *, fused: bool = False) -> torch.optim.AdamW:
    """AdamW over the two groups; the step's learning rate is set by `set_learning_rate`."""
    return torch.optim.AdamW(
        parameter_groups(model, config.weight_decay),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=fused,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_by_global_norm(parameters: Iterable[Tensor], max_norm: float | None) -> Tensor:
    """Scales all gradients by min(1, max_norm / (norm + 1e-6)), in place; returns the norm before that."""
    return nn.utils.clip_grad_norm_(parameters, math.inf if max_norm is None else max_norm)
