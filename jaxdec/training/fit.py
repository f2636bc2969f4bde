"""Training into a run directory: the loop, and the files that it writes."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.config.files import write_json
from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import config_to_dict
from jaxdec.distributed.sharding import shares_threads
from jaxdec.errors import Interrupted
from jaxdec.runs import directory as run_directory
from jaxdec.runs.lock import locked
from jaxdec.runs.metrics import MetricsLog
from jaxdec.runs.plot import plot_losses
from jaxdec.runs.reference import digest, write_reference
from jaxdec.training.interruption import interruptions
from jaxdec.training.loop import Trainer
from jaxdec.training.reporting import OnMetrics, describe, describe_changes
from jaxdec.training.stage import Initial, Stage
from jaxdec.training.state import State


class CheckpointSaver:
    """Saves into the checkpoints of a run, each with the `meta` that makes it describe itself and the seconds since
    `started`. `wait`: until each is on the disk."""

    def __init__(self, checkpoints: Checkpoints, meta: dict[str, Any], started: float, *, wait: bool) -> None:
        self._checkpoints, self._meta, self._started, self._wait = checkpoints, meta, started, wait

    def save(self, step: int, state: State) -> None:
        self._checkpoints.save(step, state, {**self._meta, "seconds": time.monotonic() - self._started})
        if self._wait:
            self._checkpoints.wait()

    def newest(self) -> str:
        self._checkpoints.wait()  # one may be on its way to the disk
        saved = self._checkpoints.steps()
        folder = self._checkpoints.folder
        return f"the last good checkpoint is {folder / str(saved[-1])}" if saved else "no checkpoint was saved"


def fit(
    config: RunConfig,
    stage: Stage,
    run_dir: Path,
    *,
    resume: bool,
    initial: Initial | None = None,
    on_metrics: OnMetrics | None = None,
) -> dict[str, Any]:
    """Trains to `train.steps` and returns the run's summary. `on_metrics` is given each line of the log.

    `resume`: `run_dir` is a run, and its newest good checkpoint is where training goes on; without one, and in a new
    run, it starts from what `initial` gives, or else from fresh parameters. Raises UserError for input that cannot work
    or another process at work in `run_dir`, TrainingError when the loss is not finite or lies below the entropy floor,
    and Interrupted after SIGTERM or Ctrl-C, when the state is saved.
    """
    with locked(run_dir):
        return _fit(config, stage, run_dir, resume, initial, on_metrics)


def _fit(
    config: RunConfig,
    stage: Stage,
    run_dir: Path,
    resume: bool,
    initial: Initial | None,
    on_metrics: OnMetrics | None,
) -> dict[str, Any]:
    started = time.monotonic()
    trainer = Trainer(config, stage)
    checkpoints = Checkpoints(run_dir / "checkpoints", config.train.keep_checkpoints)
    with interruptions() as interruption, contextlib.closing(checkpoints):
        if resume and checkpoints.steps():
            unchanged = partial(run_directory.require_unchanged, run_dir, config, stage.tokenizer, stage.data)
            started -= trainer.restore(checkpoints, accept=unchanged).get("seconds", 0.0)  # spent on the run before
        else:
            trainer.start(None if initial is None else initial())
        stage = trainer.stage  # with what it has measured
        if resume:
            print(describe_changes(run_directory.require_run(run_dir), config, trainer.step), end="")
            run_directory.update_config(run_dir, config)
        else:
            run_directory.create(run_dir, config, stage.tokenizer)
        if stage.measured is not None and trainer.step == 0:
            write_reference(run_dir, stage.measured, stage.data)
        saver = CheckpointSaver(checkpoints, meta_of(config, stage), started, wait=shares_threads(trainer.mesh))
        print(describe(config, trainer.mesh, trainer.parts, trainer.learner, trainer.state, trainer.throughput))
        final: dict[str, float] = {}
        with MetricsLog(run_dir, config) as log:
            log.truncate_after(trainer.step or -1)  # at the start nothing stays, an evaluation of it neither
            for step, values in trainer.run(saver, lambda: interruption.signal is not None):
                log.write(step, values)
                if on_metrics is not None:
                    on_metrics(step, values)
                final = values if config.train.evaluate == "all" else {}
        if trainer.stopped and interruption.signal is not None:
            checkpoints.wait()
            raise Interrupted(interruption.signal, trainer.step, run_dir)
    summary = finish(config, run_dir, trainer.state, final, time.monotonic() - started)
    if stage.files is not None and config.train.evaluate == "all":
        with jax.set_mesh(trainer.mesh):
            stage.files(trainer.state["params"], run_dir)
    return summary


def meta_of(config: RunConfig, stage: Stage) -> dict[str, Any]:
    """The metadata in a checkpoint about the run that it belongs to."""
    return {
        "seed": config.train.seed,
        "config": config_to_dict(config),
        "tokenizer": stage.tokenizer.to_dict() | {"hash": stage.tokenizer.hash},
        "data": stage.data,
        **({} if stage.measured is None else {"reference": digest(stage.measured)}),
    }


def finish(config: RunConfig, run_dir: Path, state: State, final: dict[str, float], seconds: float) -> dict[str, Any]:
    """Draws loss.png, writes summary.json and returns what it holds."""
    unit = config.resolved_stage.loss_unit
    plot_losses(run_dir / "metrics.jsonl", run_dir / "loss.png", final.get("floor"), unit)
    summary = {
        "run": str(run_dir),
        "corpus": config.data.corpus,
        "steps": int(state["step"]),
        "tokens": int(state["step"]) * config.train.tokens_per_step,
        "parameters": sum(param.size for param in state["params"].values()),
        "seconds": round(seconds, 2),
        **final,
    }
    write_json(run_dir / "summary.json", summary)
    return summary
