"""Finding a run directory that the user named."""

from __future__ import annotations

from pathlib import Path

from jaxdec.config import RunConfig
from jaxdec.config_file import load_config
from jaxdec.errors import UserError


def run_config(run_dir: Path) -> RunConfig:
    """The settings of an existing run. Raises UserError where `run_dir` is not a run directory."""
    if not run_dir.is_dir():
        raise UserError(f"no run directory at {run_dir}: give the --out of a jaxdec train")
    if not (run_dir / "config.yaml").is_file():
        raise UserError(f"{run_dir} is not a run directory: it has no config.yaml")
    return load_config(run_dir / "config.yaml")
