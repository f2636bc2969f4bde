"""Which stage a command starts: the kind of the model decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.config.run import RunConfig

Summary = dict[str, Any]


class Train(Protocol):
    """Trains a new run into a directory; `from_file` is the user's copy of a corpus."""

    def __call__(self, config: RunConfig, run_dir: Path, *, from_file: Path | None = None) -> Summary: ...


class Commands(NamedTuple):
    """What a stage does for `jaxdec train`, `resume` and `evaluate`; each returns the figures to show."""

    train: Train
    resume: Callable[[Path, RunConfig], Summary]
    evaluate: Callable[[Path, int | None], Summary]  # a run directory, and the step of its checkpoint


def stage_of(config: RunConfig) -> Commands:
    """The stage that trains this kind of model; only that one is imported."""
    if isinstance(config.model, EncoderDecoderConfig):
        from jaxdec.stages import translate

        return Commands(translate.train, translate.resume, translate.evaluate)
    from jaxdec.evaluation import text as evaluate
    from jaxdec.stages import pretrain

    return Commands(pretrain.pretrain, pretrain.resume, evaluate.evaluate_run)
