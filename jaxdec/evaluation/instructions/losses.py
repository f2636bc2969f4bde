"""Losses on entries: of the targets that training counts, and of the references alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax

from jaxdec.config.instruct import Buckets, Instruct
from jaxdec.config.run import RunConfig
from jaxdec.data.instructions.batches import instruction_sweep, rows_of
from jaxdec.data.instructions.examples import Entry, InstructionDataset
from jaxdec.evaluation.text import WindowLosses, mean_loss
from jaxdec.models.functional import Params
from jaxdec.training.stage import Evaluator


def split_loss(
    window_losses: WindowLosses,
    config: RunConfig,
    dataset: InstructionDataset,
    params: Params,
    split: str,
    *,
    most: int | None = None,
) -> tuple[float, float]:
    """The mean loss of the counted targets of a split in nats, and its standard error over rows; `most`: of its first
    batches."""
    stage = config.resolved_stage
    assert isinstance(stage, Instruct)
    rows = rows_of(dataset.entries[split], stage.batching, config.window)
    return mean_loss(
        window_losses,
        params,
        instruction_sweep(
            rows, stage.batching, config.window, dataset.end, config.batch_size,
            prompt_counts=stage.prompt_loss == "counted", most=most,
        ),
    )  # fmt: skip


def first_batches(window_losses: WindowLosses, config: RunConfig, dataset: InstructionDataset) -> Evaluator:
    """The first `train.eval_batches` batches of both splits: yields `training_loss` and `validation_loss`."""

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        for split in ("training", "validation"):
            most = config.train.eval_batches
            yield f"{split}_loss", split_loss(window_losses, config, dataset, params, split, most=most)[0]

    return evaluate


def all_entries(window_losses: WindowLosses, config: RunConfig, dataset: InstructionDataset) -> Evaluator:
    """The whole validation split and the whole test split: yields `sweep_loss`, `sweep_standard_error`, `test_loss`,
    and how many entries of all splits were too long."""

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        loss, error = split_loss(window_losses, config, dataset, params, "validation")
        yield "sweep_loss", loss
        yield "sweep_standard_error", error
        if dataset.entries["test"]:
            yield "test_loss", split_loss(window_losses, config, dataset, params, "test")[0]
        yield "left_out_entries", sum(dataset.left_out.values())
        yield "cut_entries", sum(dataset.cut.values())

    return evaluate


def reference_losses(
    window_losses: WindowLosses, entries: Sequence[Entry], window: int, end: int, batch_size: int, params: Params
) -> list[tuple[float, float]]:
    """For each entry the summed loss of its reference and of the end behind it, in nats, and the number of targets."""
    order = sorted(range(len(entries)), key=lambda index: len(entries[index].ids))
    rows, found = [(entries[index],) for index in order], []
    for batch in instruction_sweep(rows, Buckets(), window, end, batch_size, prompt_counts=False):
        sums, counts = jax.device_get(window_losses(params, batch))
        found += [(float(total), float(count)) for total, count in zip(sums, counts, strict=True)]
    places = {index: place for place, index in enumerate(order)}
    return [found[places[index]] for index in range(len(entries))]
