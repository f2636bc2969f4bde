"""`jaxdec resume RUN`: goes on from the newest good checkpoint, on the devices there are now, for longer if asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.console import lasting_console
from jaxdec.cli.flags.flags import own_flags, pairs, parse
from jaxdec.cli.flags.options import json_option, run_argument
from jaxdec.config.model import BigramConfig
from jaxdec.config.run import DataConfig, LogConfig, MeshConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.yaml import field_types
from jaxdec.errors import UserError
from jaxdec.runs.directory import refused_changes, require_run
from jaxdec.runs.lock import require_unlocked
from jaxdec.runs.metrics import require_sinks

ABOUT = """Go on with a run: interrupted, or finished and to be longer. Settings and data order are kept, so that the
result of an interrupted run equals an uninterrupted run's, bit for bit on the same devices.

What may change, from here on and in the run's config.yaml: train.steps, optim.decay_steps, the layout of the devices
(mesh), how often the run looks, logs and saves (train.eval_every, eval_batches, evaluate, log_every, checkpoint_every,
keep_checkpoints), the sinks (log), and how a step is cut (train.microbatch, steps_per_dispatch). With
optim.decay_steps None the cosine ends at train.steps, so a new length gives the steps to come another learning rate:
that of a run which had this length from the start. `--optim.decay-steps 2000` keeps an old end. Example:
jaxdec resume runs/shakespeare --train.steps 4000"""


@dataclasses.dataclass(frozen=True)
class ResumeOptions:
    train: TrainConfig
    optim: OptimConfig
    mesh: MeshConfig
    log: LogConfig
    run: Path | None = run_argument()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Parses, trains on, prints the summary and returns it."""
    config, run_dir = read(argv)
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.cli.summary import show_summary
    from jaxdec.stages.run import resume

    with lasting_console(run_dir):
        return show_summary(resume(run_dir, config), run_dir)


def read(argv: Sequence[str]) -> tuple[RunConfig, Path]:
    """The settings to go on with, checked, and the run directory. Writes nothing."""
    typed = list(pairs(argv, own_flags(ResumeOptions)))
    for flag, _ in typed:
        section = (flag or "").removeprefix("--").partition(".")[0]
        if section in field_types(RunConfig) and section not in field_types(ResumeOptions):
            raise kept([flag or ""])
    folder = next((word for flag, word in typed if flag is None), None)
    saved = require_run(Path(folder)) if folder else None
    defaults = saved or RunConfig(model=BigramConfig(), data=DataConfig(corpus="playlets"))
    sections = {name: getattr(defaults, name) for name in ("train", "optim", "mesh", "log")}
    arguments = parse("resume", ResumeOptions(**sections), argv, about=ABOUT)
    if saved is None or arguments.run is None:
        raise UserError("give the run directory: jaxdec resume RUN")
    config = dataclasses.replace(saved, **{name: getattr(arguments, name) for name in sections})
    if refused := refused_changes(saved, config):
        raise kept(refused)
    require_unlocked(arguments.run)
    require_sinks(config.log)
    return config.check(), arguments.run


def kept(what: Sequence[str]) -> UserError:
    return UserError(
        f"a resumed run keeps its settings, {', '.join(what)} included: start another with "
        "jaxdec train --config RUN/config.yaml --out ... (jaxdec resume --help says what may change)"
    )
