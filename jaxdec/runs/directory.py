"""The files of a run: `config.yaml`, `tokenizer/`, `metrics.jsonl`, `checkpoints/<step>/`, `loss.png`,
`summary.json`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import differences, load_config, save_config
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError


def create(run_dir: Path, config: RunConfig, tokenizer: Tokenizer) -> None:
    """Makes the directory of a new run. Raises UserError when it exists already or cannot be written."""
    require_new(run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        tokenizer.save(run_dir / "tokenizer")
        save_config(config, run_dir / "config.yaml")
    except OSError as error:
        raise UserError(f"cannot write the run directory {run_dir}: {error.strerror}; choose another --out") from None


def require_new(run_dir: Path) -> None:
    """Raises UserError unless `run_dir` is free or an empty folder."""
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise UserError(
            f"{run_dir} exists already: continue it with 'jaxdec resume {run_dir}', or choose another --out"
        )


def require_run(run_dir: Path) -> RunConfig:
    """The config of an existing run. Raises UserError when `run_dir` is not one."""
    if not (run_dir / "config.yaml").is_file():
        raise UserError(f"{run_dir} is not a run directory (it has no config.yaml): give the --out of a 'jaxdec train'")
    return load_config(run_dir / "config.yaml").check()


def require_unchanged(run_dir: Path, config: RunConfig, tokenizer: Tokenizer, data: str, meta: dict[str, Any]) -> None:
    """Raises UserError when a checkpoint was written under another config, tokenizer or corpus.

    The mesh and the sinks may change: they alter neither the data nor the meaning of a parameter.
    """
    from jaxdec.config.yaml import config_from_dict

    saved = config_from_dict(meta["config"])
    changed = differences(replace(saved, mesh=config.mesh, log=config.log), config)
    if changed:
        raise UserError(
            f"{run_dir}/config.yaml changed since checkpoint {meta['step']} ({'; '.join(changed)}): "
            "change it back, or start a new run with 'jaxdec train --config'"
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
