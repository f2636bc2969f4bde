"""Pretraining: predict the next token of a corpus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxdec.config.run import RunConfig
from jaxdec.data.batches import Windows
from jaxdec.data.shards import Dataset, prepare
from jaxdec.data.tokenizers.registry import load_tokenizer
from jaxdec.errors import UserError
from jaxdec.evaluation.text import final_evaluators, random_windows
from jaxdec.models.functional import Model
from jaxdec.runs import directory as run_directory
from jaxdec.training.loop import Stage, fit
from jaxdec.training.losses import language_loss


def pretrain(config: RunConfig, run_dir: Path, *, from_file: Path | None = None) -> dict[str, Any]:
    """Trains a new model into `run_dir`, which must not exist yet; returns the summary that `summary.json` holds."""
    run_directory.require_new(run_dir)
    dataset = prepare(config.check().data, from_file=from_file)
    config = with_vocabulary(config, dataset.tokenizer.vocab_size)
    stage = make_stage(config, dataset)
    return fit(config, stage, run_dir, resume=False)


def resume(run_dir: Path, config: RunConfig) -> dict[str, Any]:
    """Continues the run in `run_dir` from its newest good checkpoint, under the config read from it."""
    dataset = prepare(config.data, tokenizer=load_tokenizer(run_dir / "tokenizer"))
    return fit(config, make_stage(config, dataset), run_dir, resume=True)


def with_vocabulary(config: RunConfig, vocab_size: int) -> RunConfig:
    """`config` with the tokenizer's vocabulary filled in. Raises UserError when it asks for a smaller one."""
    wanted = config.model.vocab_size
    if wanted is not None and wanted < vocab_size:
        raise UserError(f"model.vocab_size {wanted} is smaller than the tokenizer's {vocab_size}: leave it None")
    return replace(config, model=replace(config.model, vocab_size=wanted or vocab_size))


def make_stage(config: RunConfig, dataset: Dataset) -> Stage:
    """Batches, loss and evaluators of language modelling on `dataset`."""
    model = Model(config.model, config.precision)
    return Stage(
        batch=Windows(dataset.train, config.window, config.batch_size),
        loss=language_loss,
        evaluators=(random_windows(model, config, dataset),),
        final_evaluators=final_evaluators(model, config, dataset),
        tokenizer=dataset.tokenizer,
        data=dataset.hash,
    )
