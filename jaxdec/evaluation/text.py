"""Evaluators: functions of the parameters that yield (name, value) and hold no state of the loop.

Two protocols stand side by side. `random_windows` is nanoGPT's: the mean over a few random batches, comparable with its
published figures and noisy. `sweep` reads the whole validation split once, in order, and is a fixed number; with a
stride below the window every target has at least window - stride tokens before it, and for synthetic corpora the exact
floor for these contexts is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.config.run import RunConfig
from jaxdec.data.batches import context_counts, random_batch, sweep
from jaxdec.data.shards import Dataset
from jaxdec.errors import TrainingError
from jaxdec.models.functional import Model, Params
from jaxdec.training.losses import token_losses
from jaxdec.training.stage import Evaluator

WindowLosses = Callable[[Params, Any], tuple[jax.Array, jax.Array]]

# A correct model at the floor falls below it by one standard error in one run of six, by three in one of 740.
LEAK_STANDARD_ERRORS = 3.0


def make_window_losses(model: Model) -> WindowLosses:
    """Compiled (params, batch) -> the sum of the counted losses of each window in nats [B], and their number [B]."""

    @jax.jit
    def window_losses(params: Params, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        losses_BT = token_losses(model.read(params, batch).logits_BTV, batch["targets"])
        mask_BT = batch["mask"].astype(losses_BT.dtype)
        return jnp.sum(losses_BT * mask_BT, axis=-1), jnp.sum(mask_BT, axis=-1)

    return window_losses


def mean_loss(window_losses: WindowLosses, params: Params, batches: Iterator[Any]) -> tuple[float, float]:
    """The mean loss per target, in nats, and its standard error over windows, weighted by their targets."""
    # Each result is read before the next program starts: many programs with collectives in flight at once starve each
    # other of threads where CPU devices share cores, and never end.
    pairs = [jax.device_get(window_losses(params, batch)) for batch in batches]
    sums, counts = (np.concatenate(parts).astype(np.float64) for parts in zip(*pairs, strict=True))
    mean = sums.sum() / counts.sum()
    used = counts > 0
    deviations = (sums - mean * counts)[used]
    windows = max(2, int(used.sum()))
    return float(mean), float(np.sqrt(np.sum(deviations**2) * windows / (windows - 1)) / counts.sum())


def random_windows(window_losses: WindowLosses, config: RunConfig, dataset: Dataset) -> Evaluator:
    """nanoGPT's protocol on both splits: yields `training_loss` and `validation_loss`, the same batches at every
    call."""

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        for name, tokens in (("training_loss", dataset.train), ("validation_loss", dataset.validation)):
            batches = (
                random_batch(tokens, config.window, config.batch_size, config.train.seed, index)
                for index in range(config.train.eval_batches)
            )
            yield name, mean_loss(window_losses, params, batches)[0]

    return evaluate


def full_sweep(window_losses: WindowLosses, config: RunConfig, dataset: Dataset) -> Evaluator:
    """The whole validation split: yields `sweep_loss`, `sweep_standard_error`, and for synthetic corpora `floor` and
    `excess`. Raises TrainingError when the loss lies below what any causal model can reach."""
    stride = config.data.sweep_stride or config.window

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        batches = sweep(dataset.validation, config.window, stride, config.batch_size)
        loss, standard_error = mean_loss(window_losses, params, batches)
        yield "sweep_loss", loss
        yield "sweep_standard_error", standard_error
        if dataset.conditional_entropy is not None:
            counts = context_counts(len(dataset.validation), config.window, stride)
            floor = sum(count * dataset.conditional_entropy(known) for known, count in counts.items()) / sum(
                counts.values()
            )
            yield "floor", floor
            yield "excess", loss - floor
            check_leak(loss, floor, standard_error)

    return evaluate


def answer_accuracy(model: Model, config: RunConfig, dataset: Dataset) -> Evaluator:
    """Of the characters of the validation split that are certain: the share that the model finds most likely, as
    `answer_accuracy`. Yields nothing for a corpus that marks none, or for tokens that are not characters."""
    stride = config.data.sweep_stride or config.window

    @jax.jit
    def right(params: Params, batch: dict[str, jax.Array]) -> jax.Array:
        best_BT = jnp.argmax(model.read(params, batch).logits_BTV, axis=-1)
        return jnp.sum((best_BT == batch["targets"]) * batch["mask"])

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        if dataset.answers is None or dataset.tokenizer.kind != "char":
            return
        marks = dataset.answers(dataset.tokenizer.decode(dataset.validation)).astype(np.uint16)
        found = asked = 0.0
        batches, marked = (sweep(ids, config.window, stride, config.batch_size) for ids in (dataset.validation, marks))
        for batch, mark in zip(batches, marked, strict=True):
            mask = batch["mask"] * mark["targets"]
            asked += float(mask.sum())
            found += float(jax.device_get(right(params, {**batch, "mask": mask})))
        yield "answer_accuracy", found / max(1.0, asked)

    return evaluate


def check_leak(loss: float, floor: float, standard_error: float) -> None:
    """Raises TrainingError when `loss` lies below the exact entropy by more than chance allows."""
    if loss < floor - LEAK_STANDARD_ERRORS * standard_error:
        raise TrainingError(
            f"leak: validation loss {loss:.4f} is below the entropy floor {floor:.4f} by more than "
            f"{LEAK_STANDARD_ERRORS:g} standard errors of {standard_error:.4f}; the model sees what it should predict: "
            "check its mask and the shift of the targets"
        )
