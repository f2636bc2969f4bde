"""The criterion, stage by stage. The tests that must pass and the tests of seeded bugs call the same functions.

A side is `jax_side` or `torch_side`. Each check returns what it measured, in
units that a bar of `jaxdec.parity.bars` limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from jaxdec.parity import bars
from jaxdec.parity.comparison import (
    Comparison,
    gradient_scales,
    norm,
    norm_of_all,
    relative,
    relative_to_all,
    require,
    rounding_ratio,
)
from jaxdec.position_config import RoPE
from parity_tests.cases import Case

Arrays = dict[str, np.ndarray]


Side = ModuleType | SimpleNamespace  # with the functions of `jax_side`, or as many of them as a check calls
Check = Callable[[Case, Side, Side], list[Comparison]]


def is_null(case: Case, name: str) -> bool:
    """Null directions: a key bias adds the same to all scores of a query, which the softmax removes, so its gradient is
    exactly zero, what is computed is rounding noise, and Adam makes steps of that noise. A rotation, a norm of the
    keys, a soft cap and a sink each give the key bias a meaning."""
    config = case.config.model.decoder
    if config is None or not name.endswith("attention.key.bias"):
        return False
    pattern = config.attention_of(int(name.split(".")[1]))
    changed = isinstance(config.position, RoPE) or config.qk_norm is not None
    return not changed and pattern.softcap is None and pattern.sink is None


def initial_law(case: Case, candidate: Side, reference: Side) -> list[Comparison]:
    """Vectors start equal; matrices are drawn from the same normal law, by mean, standard deviation and kurtosis."""
    found, ours, theirs = [], candidate.initial(case), reference.initial(case)
    for name, value in theirs.items():
        if value.ndim < 2:
            found += relative("init", {name: ours[name]}, {name: value}, bars.SEMANTIC)
            continue
        n, a, b = value.size, ours[name], value
        if not value.any():
            found += relative("init", {name: ours[name]}, {name: value}, bars.SEMANTIC)
            continue
        errors = {
            "mean": (a.mean() - b.mean()) / (b.std() * (2 / n) ** 0.5),
            "deviation": np.log(a.std() / b.std()) * n**0.5,
            "kurtosis": (np.mean((a / a.std()) ** 4) - np.mean((b / b.std()) ** 4)) / (48 / n) ** 0.5,
        }
        found += [Comparison("init", f"{name} {key}", abs(error), bars.INIT.limit) for key, error in errors.items()]
    return found


def activations(case: Case, candidate: Side, reference: Side) -> list[Comparison]:
    """Every submodule's output in the order of execution, then the logits."""
    ours, theirs = shared_taps(candidate.forward(case), reference.forward(case))
    logits = {"logits": ours.pop("logits")}, {"logits": theirs.pop("logits")}
    return relative("taps", ours, theirs, bars.SEMANTIC) + relative("logits", *logits, bars.SEMANTIC)


def gradients(case: Case, candidate: Side, reference: Side, parts: int = 1) -> list[Comparison]:
    """The loss of one batch and its gradient by every parameter."""
    (loss, ours), (true_loss, theirs) = (
        candidate.loss_and_gradients(case, parts),
        reference.loss_and_gradients(case, parts),
    )
    return compare_gradients(case, "gradients", (loss, ours), (true_loss, theirs))


def compare_gradients(
    case: Case, stage: str, ours: tuple[float, Arrays], theirs: tuple[float, Arrays]
) -> list[Comparison]:
    (loss, grads), (true_loss, true_grads) = ours, theirs
    null = [name for name in true_grads if is_null(case, name)]
    sizes = [
        Comparison(stage, f"{name} (null)", norm(side[name]) / norm_of_all(true_grads), bars.NULL_GRADIENT.limit)
        for name in null
        for side in (grads, true_grads)
    ]
    losses = relative("loss", {"loss": loss}, {"loss": true_loss}, bars.SEMANTIC)
    ours, theirs = without_null(case, grads), without_null(case, true_grads)
    return losses + relative(stage, ours, theirs, bars.SEMANTIC) + sizes


def schedule(case: Case, candidate: Side, reference: Side) -> list[Comparison]:
    """The learning rate of every step, and past the end of the run."""
    ours, theirs = candidate.learning_rates(case), reference.learning_rates(case)
    steps = {f"step {step}": rate for step, rate in enumerate(theirs)}
    return relative("schedule", dict(zip(steps, ours, strict=True)), steps, bars.SEMANTIC)


def optimizer(case: Case, candidate: Side, reference: Side) -> list[Comparison]:
    """Five updates from identical gradients, the null directions among them: here they are given, not noise."""
    return relative("optimizer", candidate.optimizer_updates(case), reference.optimizer_updates(case), bars.SEMANTIC)


def trajectory(case: Case, candidate: Side, reference: Side) -> list[Comparison]:
    """A training run: the loss of every step, and how far each parameter has moved by each mark."""
    (losses, updates), (true_losses, true_updates) = candidate.trajectory(case), reference.trajectory(case)
    steps = {f"loss of step {step}": loss for step, loss in enumerate(true_losses)}
    found = relative("trajectory", dict(zip(steps, losses, strict=True)), steps, bars.SEMANTIC)
    for mark, reached in true_updates.items():
        ours = {f"{name} after {mark}": value for name, value in without_null(case, updates[mark]).items()}
        theirs = {f"{name} after {mark}": value for name, value in without_null(case, reached).items()}
        found += relative("trajectory", ours, theirs, bars.SEMANTIC)
        found += [
            Comparison("trajectory", f"{name} (null)", norm(side[name]) / norm_of_all(reached), bars.NULL_UPDATE.limit)
            for name in reached
            if is_null(case, name)
            for side in (updates[mark], reached)
        ]
    return found


def accumulation(case: Case, candidate: Side, reference: Side) -> list[Comparison]:
    """A batch in k parts of unequal numbers of targets: both sides agree with each other, and with the whole batch.

    A router's losses and capacities are statistics of a part, so that there the parts differ from the whole."""
    parts = case.config.batch_size
    ours, theirs = candidate.loss_and_gradients(case, parts), reference.loss_and_gradients(case, parts)
    found = [] if case.routed else compare_gradients(case, "accumulation", ours, candidate.loss_and_gradients(case, 1))
    found += compare_gradients(case, "accumulation", ours, theirs)
    return [replace(comparison, stage="accumulation") for comparison in found]


def dropout(case: Case, candidate: Side, reference: Side) -> list[Comparison]:
    """Loss and gradients with the same masks put into both sides."""
    ours, theirs = candidate.dropped_loss_and_gradients(case), reference.dropped_loss_and_gradients(case)
    return [replace(comparison, stage="dropout") for comparison in compare_gradients(case, "dropout", ours, theirs)]


def greedy(case: Case, candidate: Side, reference: Side) -> list[Comparison]:
    """The most likely continuations: the same tokens, from one token to past the end of the context, cached and not."""
    return compare_tokens("greedy", case, candidate, reference, (("temperature", 0.0),))


def sampling(case: Case, candidate: Side, reference: Side) -> list[Comparison]:
    """Drawn with the same noise, through one filter and through all of them: the same tokens."""
    found = []
    for settings in (
        (("temperature", 2.0), ("top_p", 0.8)),
        (("temperature", 2.5), ("top_k", 12), ("top_p", 0.9), ("min_p", 0.05)),
    ):
        found += compare_tokens("sampling", case, candidate, reference, settings)
    return found


def compare_tokens(
    stage: str, case: Case, candidate: Side, reference: Side, settings: tuple[tuple[str, Any], ...]
) -> list[Comparison]:
    """How many of the new tokens differ, prompt by prompt; enough are drawn to overflow the context from any start."""
    count = case.config.model.context + 4
    rows = zip(candidate.generated(case, count, settings), reference.generated(case, count, settings), strict=True)
    label = " ".join(f"{name} {value:g}" for name, value in settings)
    return [Comparison(stage, f"prompt {row}, {label}", float((a != b).sum()), 0.0) for row, (a, b) in enumerate(rows)]


SEMANTIC_STAGES: dict[str, Check] = {
    "init": initial_law,
    "activations": activations,
    "gradients": gradients,
    "schedule": schedule,
    "optimizer": optimizer,
    "accumulation": accumulation,
    "dropout": dropout,
    "greedy": greedy,
    "sampling": sampling,
    "trajectory": trajectory,
}


def semantic(case: Case, candidate: Side, reference: Side) -> None:
    """All of it in float64; raises `Difference` at the first stage that fails."""
    for check in SEMANTIC_STAGES.values():
        require(check(case, candidate, reference))


def rounding(case: Case, candidate: Side, other: Side, oracle: Side, bar: bars.Bar) -> None:
    """Activations and gradients in low precision: the candidate's error against the float64 oracle, measured in the
    other side's. `case` carries the low precision."""
    exact = case.at("float64")
    roundoff = bars.UNIT_ROUNDOFF[case.config.precision.compute]
    true, ours, theirs = oracle.forward(exact), candidate.forward(case), other.forward(case)
    names = [name for name in true if name in ours and name in theirs]
    taps, ours, theirs = ({name: side[name] for name in names} for side in (true, ours, theirs))
    found = rounding_ratio("taps", ours, theirs, taps, {name: norm(taps[name]) for name in names}, roundoff, bar)
    grads, ours, theirs = (
        without_null(case, side.loss_and_gradients(at, 1)[1])
        for side, at in ((oracle, exact), (candidate, case), (other, case))
    )
    found += rounding_ratio("gradients", ours, theirs, grads, gradient_scales(grads), roundoff, bar)
    require(found)


def drift(case: Case, candidate: Side, other: Side, oracle: Side, loss_bar: bars.Bar, update_bar: bars.Bar) -> None:
    """A training run in low precision against the float64 one: the loss of every step, and the whole update from step
    10 on. Where weights are large beside their updates, the rounding of the sums alone is over the bar, in either
    framework (generic weights; scales of one in a tiny model with many norms; tokens that change their expert): there
    the update's error is measured in the other side's."""
    (losses, updates), (true_losses, true_updates) = candidate.trajectory(case), oracle.trajectory(case.at("float64"))
    steps = {f"loss of step {step}": loss for step, loss in enumerate(true_losses)}
    found = relative("trajectory", dict(zip(steps, losses, strict=True)), steps, loss_bar)
    for mark in (mark for mark in true_updates if mark >= 10):
        ours, true, theirs = (
            without_null(case, side) for side in (updates[mark], true_updates[mark], other.trajectory(case)[1][mark])
        )
        stage = f"update {mark}"
        if case.regime == "init" and relative_to_all(stage, theirs, true, update_bar).equal:
            found.append(relative_to_all(stage, ours, true, update_bar))
        else:
            found.append(relative_to_all(stage, ours, true, bars.FLOAT32_RATIO, in_errors_of=theirs))
    require(found)


def shared_taps(ours: Arrays, theirs: Arrays) -> tuple[Arrays, Arrays]:
    """The taps of both sides, in the reference's order: a side may fuse projections, or drop out without a module."""
    names = [name for name in theirs if name in ours]
    return {name: ours[name] for name in names}, {name: theirs[name] for name in names}


def without_null(case: Case, tensors: Arrays) -> Arrays:
    return {name: value for name, value in tensors.items() if not is_null(case, name)}
