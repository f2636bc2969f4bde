"""A run in memory as a run directory."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.config.run import RunConfig
from jaxdec.data.folders import cache_folder
from jaxdec.runs import directory as run_directory
from jaxdec.runs.lock import locked
from jaxdec.runs.metrics import MetricsLog
from jaxdec.runs.reference import write_reference
from jaxdec.training.fit import CheckpointSaver, finish, meta_of
from jaxdec.training.loop import Trainer

TEXTS = "texts"  # the folder of the cache that holds texts given in memory


def save_run(trainer: Trainer, metrics: Sequence[Mapping[str, Any]], seconds: float, run_dir: Path) -> Path:
    """Writes settings, tokenizer, numbers and one checkpoint, after `seconds` of training. Raises UserError where
    `run_dir` is taken or cannot be written."""
    config, stage = with_own_text(trainer.config, run_dir), trainer.stage
    with locked(run_dir):
        run_directory.create(run_dir, config, stage.tokenizer)
        if stage.measured is not None:
            write_reference(run_dir, stage.measured, stage.data)
        if config != trainer.config:
            shutil.copyfile(trainer.config.data.corpus, config.data.corpus)
        with MetricsLog(run_dir, config, sinks=()) as log:
            for line in metrics:
                log.write(line["step"], {name: value for name, value in line.items() if name != "step"})
        checkpoints = Checkpoints(run_dir / "checkpoints", config.train.keep_checkpoints)
        with contextlib.closing(checkpoints):
            meta = meta_of(config, stage)
            CheckpointSaver(checkpoints, meta, time.monotonic() - seconds, wait=True).save(trainer.step, trainer.state)
        last = {name: value for name, value in metrics[-1].items() if name != "step"} if metrics else {}
        finish(config, run_dir, trainer.state, last if "sweep_loss" in last else {}, seconds)
    return run_dir


def with_own_text(config: RunConfig, run_dir: Path) -> RunConfig:
    """`config` with the text that was given in memory, if it was, at its place in the run directory."""
    corpus = Path(config.data.corpus)
    if corpus.parent != cache_folder() / TEXTS:
        return config
    return replace(config, data=replace(config.data, corpus=str(run_dir.absolute() / "corpus.txt")))
