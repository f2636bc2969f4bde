"""Pretraining: predict the next token of a corpus."""

from __future__ import annotations

from pathlib import Path

from jaxdec.config.run import RunConfig
from jaxdec.data.batches import Windows
from jaxdec.data.shards import Dataset, prepare
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.evaluation.text import answer_accuracy, full_sweep, make_window_losses, random_windows
from jaxdec.models.functional import Model
from jaxdec.runs.preparing import Preparing
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.stage import Stage


def load_data(config: RunConfig, *, from_file: Path | None, tokenizer: Tokenizer | None) -> Dataset:
    """The corpus as token shards, made where they are missing."""
    with Preparing() as report:
        return prepare(config.data, from_file=from_file, tokenizer=tokenizer, report=report)


def make_stage(config: RunConfig, model: Model, data: Dataset) -> Stage:
    """Windows of the training split; nanoGPT's protocol on the way, and the complete sweep beside it at the end."""
    window_losses = make_window_losses(model)
    random = random_windows(window_losses, config, data)
    return Stage(
        model=model,
        batch=Windows(data.train, config.window, config.batch_size, config.data.stride),
        objective=LANGUAGE,
        evaluators=(random,),
        final_evaluators=(random, full_sweep(window_losses, config, data), answer_accuracy(model, config, data)),
        tokenizer=data.tokenizer,
        data=data.hash,
    )
