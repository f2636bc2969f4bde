"""Bugs in the loss, the optimizer, the training loop, generation and the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from jaxdec.parity.adapters.candidate import logits_of
from jaxdec.parity.certificate.mutant import Mutant, Patch
from jaxdec.parity.certificate.mutants.altered import Change, trained
from jaxdec.parity.certificate.mutants.anatomy import Anatomy
from jaxdec.parity.certificate.mutants.rounded import rounded


def training_mutants(anatomy: Anatomy) -> Iterator[Mutant]:
    yield from loss_mutants(anatomy)
    yield from optimizer_mutants(anatomy)
    if anatomy.sides.pair.continues:
        yield Mutant("second_best_token", trained(generate=second_best(anatomy)), "generation", about="second best")
    yield Mutant("checkpoint_rounded", lambda sides: restored(narrow), "checkpoint", about="restored in bfloat16")
    yield Mutant("checkpoint_shifted", lambda sides: restored(np.roll), "checkpoint", about="restored one element off")


# The loss


def loss_mutants(anatomy: Anatomy) -> Iterator[Mutant]:
    if not {"targets", "mask"} <= set(anatomy.batch):
        return
    batches: dict[str, Callable[[Any], Any]] = {
        "targets_shifted": lambda batch: {**batch, "targets": batch["targets"].roll(-1, 1)},
        "inputs_as_targets": lambda batch: {**batch, "targets": batch["tokens"].to(batch["targets"])},
    }
    if anatomy.batch["mask"].min() < 1:
        batches["mask_ignored"] = lambda batch: {**batch, "mask": torch.ones_like(batch["mask"])}
        batches["mask_shifted"] = lambda batch: {**batch, "mask": batch["mask"].roll(1, 1)}
    for name, change in batches.items():
        yield Mutant(name, trained(loss=of_batch(change), backward=of_batch(change)), "loss", about="the loss's batch")
    if anatomy.batch["mask"].min() < 1:
        mean = scaled(lambda batch: batch["mask"].mean())
        yield Mutant("mean_over_all", mean, "loss", about="the mean divides by all targets, not by those that count")
    slightly = scaled(lambda batch: 1 + 1e-8)
    yield Mutant("loss_off_by_1e-8", slightly, "loss", about="the loss times 1 + 1e-8")


def of_batch(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For `loss(outputs, batch)` and `backward(model, batch)` alike."""
    return lambda original: original and (lambda first, batch: original(first, change(batch)))


def scaled(factor: Callable[[Any], Any]) -> Change:
    def of_loss(original: Any) -> Any:
        return lambda outputs, batch: original(outputs, batch) * factor(batch)

    def of_backward(original: Any) -> Any:
        def backward(model: nn.Module, batch: Any) -> Any:
            loss = original(model, batch)
            for p in model.parameters():
                p.grad = None if p.grad is None else p.grad * factor(batch)
            return loss * factor(batch)

        return original and backward

    return trained(loss=of_loss, backward=of_backward)


# The optimizer


def optimizer_mutants(anatomy: Anatomy) -> Iterator[Mutant]:
    for name, change in AROUND.items():
        yield Mutant(name, trained(optimizer=change), "optimizer", about=(change.__doc__ or "").strip(" ."))
    groups = [group for made in optimizers_of(anatomy) for group in made.param_groups]
    settings: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "adam_epsilon_times_ten": ("eps", lambda eps: 10 * eps),
        "beta1_changed": ("betas", lambda betas: (betas[0] - 0.01, betas[1])),
        "beta2_changed": ("betas", lambda betas: (betas[0], 1 - 2 * (1 - betas[1]))),
        "decay_halved": ("weight_decay", lambda decay: decay / 2),
        "decay_doubled": ("weight_decay", lambda decay: decay * 2),
    }
    for name, (key, change) in settings.items():
        if any(group.get(key) for group in groups):
            apply = trained(optimizer=with_settings(key, change))
            yield Mutant(name, apply, "optimizer", about=f"{key} of the optimizer changed")


def optimizers_of(anatomy: Anatomy) -> list[Any]:
    with noted() as made:
        anatomy.sides.reference.reference.optimizer(anatomy.model)
    return made


class noted:
    """The torch optimizers that are made inside the block."""

    def __enter__(self) -> list[Any]:
        made: list[Any] = []
        original = torch.optim.Optimizer.__init__

        def init(self: Any, *given: Any, **named: Any) -> None:
            original(self, *given, **named)
            made.append(self)

        self.patch = patch.object(torch.optim.Optimizer, "__init__", init)
        self.patch.start()
        return made

    def __exit__(self, *_: object) -> None:
        self.patch.stop()


def with_settings(key: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        def optimizer(model: nn.Module) -> Any:
            with noted() as made:
                apply = original(model)
            for group in (group for each in made for group in each.param_groups):
                group[key] = change(group[key])
            return apply

        return optimizer

    return wrap


def around(step: Callable[[nn.Module, Callable[[int], None], int, dict[str, Any]], None]) -> Callable[[Any], Any]:
    """`step` is called for each update with the model, the right update, the number and a memory."""

    def wrap(original: Any) -> Any:
        def optimizer(model: nn.Module) -> Any:
            apply, memory = original(model), {}
            return lambda number: step(model, apply, number, memory)

        return optimizer

    wrap.__doc__ = step.__doc__
    return wrap


@around
def one_step_late(model: nn.Module, apply: Callable[[int], None], step: int, memory: dict[str, Any]) -> None:
    """Each update uses the gradients of the step before."""
    now = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    for name, p in model.named_parameters():
        p.grad = memory.get(name, torch.zeros_like(p))
    memory.update(now)
    apply(step)


@around
def gradients_added_up(model: nn.Module, apply: Callable[[int], None], step: int, memory: dict[str, Any]) -> None:
    """Gradients are not set to zero between steps."""
    for name, p in model.named_parameters():
        if p.grad is not None:
            p.grad = memory[name] = p.grad + memory.get(name, 0)
    apply(step)


@around
def updates_in_float32(model: nn.Module, apply: Callable[[int], None], step: int, memory: dict[str, Any]) -> None:
    """Parameters are kept in float32."""
    apply(step)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(rounded(p))


@around
def last_parameter_left_out(model: nn.Module, apply: Callable[[int], None], step: int, memory: dict[str, Any]) -> None:
    """One parameter is not handed to the optimizer."""
    last = list(model.parameters())[-1]
    before = last.detach().clone()
    apply(step)
    with torch.no_grad():
        last.copy_(before)


@around
def gradients_clipped_by_value(
    model: nn.Module, apply: Callable[[int], None], step: int, memory: dict[str, Any]
) -> None:
    """Each element of a gradient is cut at 0.1."""
    for p in model.parameters():
        p.grad = None if p.grad is None else p.grad.clamp(-0.1, 0.1)
    apply(step)


AROUND = {
    "one_step_late": one_step_late,
    "gradients_added_up": gradients_added_up,
    "updates_in_float32": updates_in_float32,
    "last_parameter_left_out": last_parameter_left_out,
    "gradients_clipped_by_value": gradients_clipped_by_value,
}


# Generation and the checkpoint


def second_best(anatomy: Anatomy) -> Callable[[Any], Any]:
    call = anatomy.sides.reference.reference.call

    def generate(model: nn.Module, tokens_1T: Any, count: int) -> Any:
        start = tokens_1T.shape[1]
        for _ in range(count):
            best = logits_of(call(model, {"tokens": tokens_1T}))[:, -1].topk(2).indices
            tokens_1T = torch.cat([tokens_1T, best[:, 1:].to(tokens_1T)], dim=1)
        return tokens_1T[:, start:]

    return lambda original: generate


def restored(change: Callable[..., Any]) -> Patch:
    from jaxdec.checkpoints import checkpoints as checkpoint

    original = checkpoint.restore_params

    def changed(*given: Any) -> Any:
        params, about = original(*given)
        return {name: change(np.asarray(value), 1) for name, value in params.items()}, about

    return patch.object(checkpoint, "restore_params", changed)


def narrow(value: np.ndarray, _: int) -> np.ndarray:
    import jax.numpy as jnp

    return np.asarray(jnp.asarray(value, "bfloat16"), np.float64)
