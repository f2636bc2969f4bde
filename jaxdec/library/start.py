"""Creating a run from a recipe, a config, or a model with a text; and loading one from a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxdec.config.model import AnyModel
from jaxdec.config.parts import Config
from jaxdec.config.run import DataConfig, RunConfig, TrainConfig, warmup_within
from jaxdec.config.tokenizers import AnyTokenizer
from jaxdec.data.files import sha256, write_whole
from jaxdec.data.folders import cache_folder
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError
from jaxdec.library.folder import TEXTS
from jaxdec.library.run import TrainingRun
from jaxdec.library.values import settings_of, with_settings
from jaxdec.recipes import load_recipe
from jaxdec.training.reporting import OnMetrics


def start(
    what: str | RunConfig | AnyModel,
    text: str | None = None,
    tokenizer: Tokenizer | AnyTokenizer | None = None,
    *,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrainingRun:
    """A run that has not trained yet; `for step, values in run.reports()` trains it.

    what: the name of a recipe, a config, or the config of a model (`jaxdec.model(...)`), which needs a `text` too.
    text: what is trained on, its last tenth kept for validation. None: the corpus that the config names.
    tokenizer: one that is there already (`jaxdec.tokenizer(...)`), or the settings of one, as `BPE(4000)`. None: the
        config's. By settings, a tokenizer is trained on the text if need be.
    steps: train steps, in place of the config's `train.steps`; a warm-up that would fill more than half of them is
        shortened by the same share, unless `settings` has one.
    settings: other values by dotted name, as {"optim.learning_rate": 3e-4, "train.seed": 1}.
    Raises UserError for settings that do not fit each other, and for a text that is too short.
    """
    config = _config(what, text, tokenizer)
    changes = dict(settings or {})
    if steps is not None:
        changes["train.steps"] = steps
    changed = with_settings(config, changes)
    if "optim.warmup_steps" not in changes:
        changed = replace(changed, optim=replace(changed.optim, warmup_steps=warmup_within(changed, config)))
    return TrainingRun.new(changed, _made(tokenizer))


def train(
    what: str | RunConfig | AnyModel,
    text: str | None = None,
    tokenizer: Tokenizer | AnyTokenizer | None = None,
    *,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    on_metrics: OnMetrics | None = None,
    out: Path | str | None = None,
) -> TrainingRun:
    """Trains in memory and returns the run; with `out`, into that run directory, as `jaxdec train` does.

    on_metrics: called as on_metrics(step, values) with each line of the log, while training goes on.
    The rest is as for `start`. Raises TrainingError when the loss is not finite.
    """
    run = start(what, text, tokenizer, steps=steps, settings=settings)
    if out is not None:
        from jaxdec.stages.run import train as train_into

        train_into(run.config, Path(out), tokenizer=_made(tokenizer), on_metrics=on_metrics)
        return load(out)
    for step, values in run.reports():
        if on_metrics is not None:
            on_metrics(step, values)
    return run


def load(run_dir: Path | str) -> TrainingRun:
    """A run from its directory, written by any of `run.save`, `jaxdec train`, or `train(..., out=...)`; or the weights
    of another program, as a Hugging Face folder or hub id, which have not been trained here and have no corpus.

    Raises UserError when the folder holds no good checkpoint, nor weights that can be read.
    """
    return TrainingRun.load(Path(run_dir))


def _made(tokenizer: Tokenizer | AnyTokenizer | None) -> Tokenizer | None:
    """The tokenizer, where it is one and not the settings of one."""
    return None if isinstance(tokenizer, Config) else tokenizer


def _config(
    what: str | RunConfig | AnyModel, text: str | None, tokenizer: Tokenizer | AnyTokenizer | None
) -> RunConfig:
    """The settings of the run before any that the caller changes."""
    if isinstance(what, str):
        config = load_recipe(what)
    elif isinstance(what, RunConfig):
        config = what
    elif text is None:
        raise UserError("a model alone says not what to train on: give a text, or a recipe's name, or a RunConfig")
    else:
        sequences = -(-TrainConfig().tokens_per_step // what.context)
        lines = TrainConfig(tokens_per_step=sequences * what.context, log_every=1)
        config = RunConfig(model=what, data=DataConfig("text"), train=lines)
    data = config.data
    if text is not None:
        data = replace(data, corpus=str(_stored(text)))
    if tokenizer is not None:
        data = replace(data, tokenizer=tokenizer if isinstance(tokenizer, Config) else settings_of(tokenizer))
    return replace(config, data=data)


def _stored(text: str) -> Path:
    """A file with the text, in the cache folder, where token shards lie too: a corpus is a name or a path."""
    content = text.encode("utf-8")
    path = cache_folder() / TEXTS / f"{sha256(content)[:16]}.txt"
    if not path.is_file():
        write_whole(path, content, "the text in the cache")
    return path
