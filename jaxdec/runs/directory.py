"""The files of a run: `config.yaml`, `tokenizer/`, `metrics.jsonl`, `checkpoints/<step>/`, `loss.png`,
`summary.json`; while it trains `run.lock`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import config_from_dict, differences, load_config, save_config
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError
from jaxdec.runs.lock import LOCK, require_unlocked

# What `jaxdec resume RUN --train.steps 4000` and the like may change; docs/checkpoints.md says to what effect.
MAY_CHANGE = (
    *(f"train.{name}" for name in ("steps", "steps_per_dispatch", "microbatch", "evaluate", "peak_tflops")),
    *(f"train.{name}" for name in ("log_every", "eval_every", "eval_batches", "checkpoint_every", "keep_checkpoints")),
    *("optim.decay_steps", "mesh.data", "mesh.fsdp", "log.tensorboard", "log.wandb"),
)


def create(run_dir: Path, config: RunConfig, tokenizer: Tokenizer) -> None:
    """Writes the files that every run has; the caller holds the lock. Raises UserError when `run_dir` is in use already
    or cannot be written.

    `config.yaml` is written last and at once: a folder with a lock and without it is a creation that was cut short.
    """
    _require_free(run_dir)
    try:
        for path in _leftovers(run_dir):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        tokenizer.save(run_dir / "tokenizer")
        save_config(config, run_dir / "config.yaml")
    except OSError as error:
        raise UserError(f"cannot write the run directory {run_dir}: {error.strerror}; choose another --out") from None


def require_new(run_dir: Path) -> None:
    """Raises UserError unless `run_dir` is free, an empty folder, or what is left of a creation that was cut short; and
    where another process is at work in it."""
    require_unlocked(run_dir)
    _require_free(run_dir)


def is_new(run_dir: Path) -> bool:
    """Whether a run may be made in `run_dir`: it is free, empty, or holds what a creation that was cut short left."""
    if not run_dir.is_dir():
        return not run_dir.exists()
    return {path.name for path in run_dir.iterdir()} <= {LOCK, *(path.name for path in _leftovers(run_dir))}


def _require_free(run_dir: Path) -> None:
    if not is_new(run_dir):
        raise UserError(
            f"{run_dir} exists already: continue it with 'jaxdec resume {run_dir}', or choose another --out"
        )


def require_run(run_dir: Path) -> RunConfig:
    """The config of an existing run. Raises UserError when `run_dir` is not one."""
    if (run_dir / "config.yaml").is_file():
        return load_config(run_dir / "config.yaml").check()
    if (run_dir / LOCK).is_file():
        require_unlocked(run_dir)
        raise UserError(f"{run_dir} was left before it was complete: start it again with the 'jaxdec train' of then")
    raise UserError(f"{run_dir} is not a run directory (it has no config.yaml): give the --out of a 'jaxdec train'")


def refused_changes(before: RunConfig, after: RunConfig) -> list[str]:
    """The settings that differ and that a resumed run must keep: "optim.beta1: 0.9 -> 0.8"."""
    lines = differences(before, after)
    return [line for line in lines if not line.startswith(tuple(f"{name}:" for name in MAY_CHANGE))]


def update_config(run_dir: Path, config: RunConfig) -> None:
    """Makes `config.yaml` say what a resumed run does from here on. Writes nothing when it does already."""
    if not differences(load_config(run_dir / "config.yaml"), config):
        return
    try:
        save_config(config, run_dir / "config.yaml")
    except OSError as error:
        raise UserError(f"cannot write {run_dir}/config.yaml: {error.strerror}; make it writable") from None


def _leftovers(run_dir: Path) -> list[Path]:
    """What a creation of this run that was cut short has written beside the lock."""
    if not (run_dir / LOCK).is_file() or (run_dir / "config.yaml").exists():
        return []
    return [path for path in run_dir.iterdir() if path.name == "tokenizer" or path.name.startswith(".config.yaml.")]


def require_unchanged(run_dir: Path, config: RunConfig, tokenizer: Tokenizer, data: str, meta: dict[str, Any]) -> None:
    """Raises UserError when a checkpoint was written under another config, tokenizer or corpus, or lies past the end of
    the run. What `MAY_CHANGE` names may differ: it alters neither the data nor the meaning of a parameter.
    """
    changed = refused_changes(config_from_dict(meta["config"]), config)
    if changed:
        raise UserError(
            f"{run_dir}/config.yaml changed since checkpoint {meta['step']} ({'; '.join(changed)}): "
            "change it back, or start a new run with 'jaxdec train --config'"
        )
    if meta["step"] > config.train.steps:
        raise UserError(
            f"{run_dir} has trained {meta['step']} steps already: give a train.steps that is not below that, not "
            f"{config.train.steps}"
        )
    if meta["tokenizer"]["hash"] != tokenizer.hash:
        raise UserError(
            f"the tokenizer in {run_dir}/tokenizer is not the one of checkpoint {meta['step']}: restore that folder; "
            "token ids would change their meaning"
        )
    if meta["data"] != data:
        raise UserError(
            f"the corpus {config.data.corpus} changed since checkpoint {meta['step']}: "
            "put the old text back, or start a new run"
        )
