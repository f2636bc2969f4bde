"""Seeded bugs in the schedule, the clip and AdamW."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import mutant
from torchref.training import loop as train
from torchref.training import optim

# Schedule and optimizer


@mutant("schedule")
def schedule_one_step_ahead() -> Patch:
    return _rate(lambda rate, config, decay_steps, step: rate(config, decay_steps, step + 1))


@mutant("schedule")
def cosine_over_one_step_less() -> Patch:
    return _rate(lambda rate, config, decay_steps, step: rate(config, decay_steps - 1, step))


@mutant("schedule")
def warmup_from_zero() -> Patch:
    return _rate(
        lambda rate, config, decay_steps, step: (
            config.learning_rate * step / config.warmup_steps
            if step < config.warmup_steps
            else rate(config, decay_steps, step)
        )
    )


@mutant("schedule")
def cosine_down_to_zero() -> Patch:
    def falling(rate: Any, config: Any, decay_steps: int, step: int) -> float:
        if step < config.warmup_steps:
            return rate(config, decay_steps, step)
        progress = min(1.0, (step - config.warmup_steps) / (decay_steps - config.warmup_steps))
        return max(config.min_learning_rate, 0.5 * config.learning_rate * (1 + math.cos(math.pi * progress)))

    return _rate(falling)


def _rate(change: Callable[..., float]) -> Patch:
    original = train.learning_rate
    return patch.object(train, "learning_rate", lambda *inputs: change(original, *inputs))


@mutant("optimizer")
def rate_set_after_the_update() -> Patch:
    def update(model: Any, optimizer: Any, config: Any, step: int) -> torch.Tensor:
        norm = train.clip_by_global_norm(model.parameters(), config.optim.clip_norm)
        optimizer.step()
        train.set_learning_rate(optimizer, train.learning_rate(config.optim, config.decay_steps, step))
        return norm

    return patch.object(train, "update", update)


@mutant("optimizer")
def clip_without_epsilon() -> Patch:
    def clip(parameters: Any, max_norm: float) -> torch.Tensor:
        grads = [p.grad for p in parameters]
        norm = torch.cat([g.flatten() for g in grads]).norm()
        for g in grads:
            g *= torch.clamp(max_norm / norm, max=1.0)
        return norm

    return patch.object(train, "clip_by_global_norm", clip)


@mutant("optimizer")
def clip_each_tensor_alone() -> Patch:
    original = train.clip_by_global_norm
    alone = lambda parameters, max_norm: next(iter([original([p], max_norm) for p in parameters]))
    return patch.object(train, "clip_by_global_norm", alone)


@mutant("optimizer")
def not_clipped() -> Patch:
    original = train.clip_by_global_norm
    return patch.object(train, "clip_by_global_norm", lambda parameters, max_norm: original(parameters, None))


@mutant("optimizer")
def norms_and_biases_decayed() -> Patch:
    return patch.object(
        optim, "parameter_groups", lambda model, decay: [{"params": model.parameters(), "weight_decay": decay}]
    )


@mutant("optimizer")
def embeddings_not_decayed() -> Patch:
    def groups(model: Any, decay: float) -> list[dict]:
        decayed = {name for name, p in model.named_parameters() if p.ndim >= 2 and "embed" not in name}
        split = {True: [], False: []}
        for name, p in model.named_parameters():
            split[name in decayed].append(p)
        return [{"params": split[True], "weight_decay": decay}, {"params": split[False], "weight_decay": 0.0}]

    return patch.object(optim, "parameter_groups", groups)


class Adam(torch.optim.AdamW):
    """AdamW written out, so that one term can be changed."""

    inside_the_root = before_correction = no_correction = coupled = False
    decay_not_scaled = decay_last = one_moment = False

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            rate, epsilon, decay = group["lr"], group["eps"], group["weight_decay"]
            for p in group["params"]:
                state, grad = self.state[p], p.grad + decay * p if self.coupled else p.grad
                if not state:
                    state.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
                state["t"] += 1
                state["m"].lerp_(grad, 1 - beta1)
                square = (grad * grad).mean().expand_as(p) if self.one_moment else grad * grad
                state["v"].lerp_(square, 1 - beta2)
                first, second = (1, 1) if self.no_correction else (1 - beta1 ** state["t"], 1 - beta2 ** state["t"])
                if self.inside_the_root:
                    denominator = (state["v"] / second + epsilon).sqrt()
                elif self.before_correction:
                    denominator = (state["v"].sqrt() + epsilon) / second**0.5
                else:
                    denominator = (state["v"] / second).sqrt() + epsilon
                if not self.coupled and not self.decay_last:
                    p -= (1e-3 if self.decay_not_scaled else rate) * decay * p
                p -= rate * state["m"] / first / denominator
                if self.decay_last:
                    p -= rate * decay * p


def adam(**changes: bool) -> Patch:
    return patch.object(torch.optim, "AdamW", type("Changed", (Adam,), changes))


@mutant("optimizer")
def adam_epsilon_inside_the_root() -> Patch:
    return adam(inside_the_root=True)


@mutant("optimizer")
def adam_epsilon_before_bias_correction() -> Patch:
    return adam(before_correction=True)


@mutant("optimizer")
def adam_without_bias_correction() -> Patch:
    return adam(no_correction=True)


@mutant("optimizer")
def decay_coupled_to_the_gradient() -> Patch:
    return adam(coupled=True)


@mutant("optimizer")
def decay_not_scaled_by_the_schedule() -> Patch:
    return adam(decay_not_scaled=True)


@mutant("optimizer")
def beta2_of_torch() -> Patch:
    original = torch.optim.AdamW
    changed = lambda groups, betas, **rest: original(groups, betas=(betas[0], 0.999), **rest)
    return patch.object(torch.optim, "AdamW", changed)


@mutant("training")
def gradients_not_reset() -> Patch:
    """Each step adds to the gradients of those before it."""
    original = train.accumulate_gradients

    def accumulate(model: Any, batch: Any, parts: int, *_: Any) -> torch.Tensor:
        loss = original(model, batch, parts)
        for p in model.parameters():
            p.grad += getattr(p, "summed", 0)
            p.summed = p.grad.clone()
        return loss

    return patch.object(train, "accumulate_gradients", accumulate)


@mutant("training")
def weights_averaged_over_steps() -> Patch:
    """From the second step on, the forward pass reads the mean of the weights and those before."""
    original = train.accumulate_gradients

    def accumulate(model: Any, batch: Any, parts: int, *_: Any) -> torch.Tensor:
        for p in model.parameters():
            now = p.detach().clone()
            p.data = (now + getattr(p, "before", now)) / 2
            p.before = now
        return original(model, batch, parts)

    return patch.object(train, "accumulate_gradients", accumulate)


@mutant("optimizer")
def decay_added_after_the_step() -> Patch:
    """The decay reads what the step has already moved."""
    return adam(decay_last=True)


@mutant("optimizer")
def second_moment_of_the_clipped_norm() -> Patch:
    """One second moment for a whole tensor."""
    return adam(one_moment=True)


@mutant("optimizer")
def clip_at_twice_the_norm() -> Patch:
    original = train.clip_by_global_norm
    return patch.object(train, "clip_by_global_norm", lambda parameters, most: original(parameters, 2 * most))


@mutant("schedule")
def warmup_one_step_shorter() -> Patch:
    def rate(original: Any, config: Any, decay_steps: int, step: int) -> float:
        return original(replace(config, warmup_steps=config.warmup_steps - 1), decay_steps, step)

    return _rate(rate)
