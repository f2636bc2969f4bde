"""A run directory as a training state of `torchref`, and back: training goes on where it stopped, in either framework.

    save_torch_state(run_dir, "state.pt")     then, in torch: `torchref.training.state.restore(torch.load(...))`
    load_torch_state("state.pt", run_dir)     then: `jaxdec resume run_dir`

The file is `torch.save`'s, of tensors, numbers and strings alone: reading it runs no code of it.
"""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxdec.checkpoints.checkpoints import Checkpoints, restore_wanted
from jaxdec.config.files import whole_file
from jaxdec.config.run import NO_CORPUS, RunConfig
from jaxdec.config.yaml import config_from_dict
from jaxdec.data.tokenizers.registry import load_tokenizer
from jaxdec.errors import UserError, needs_extra
from jaxdec.runs import directory as run_directory
from jaxdec.runs.lock import locked
from jaxdec.runs.reference import ReferenceValues, read_reference
from jaxdec.stages.run import open_stage
from jaxdec.training.fit import meta_of
from jaxdec.training.torch_state import abstract_state, from_torch, learner_of, to_torch


def save_torch_state(run_dir: Path, path: Path, step: int | None = None) -> int:
    """Writes the newest good checkpoint of a run, or that of `step`, to `path`; returns its step.

    Raises UserError where there is none, where `path` exists or cannot be written, and where torch is not installed.
    """
    torch = _torch()
    run_dir, path = Path(run_dir), Path(path)
    if path.exists():
        raise UserError(f"{path} exists already: choose another file, or delete it")
    if run_directory.require_run(run_dir).data.corpus == NO_CORPUS:
        raise UserError(f"{run_dir} holds weights alone, without a training state: convert the weights")
    found: list[RunConfig] = []

    def wanted(meta: dict[str, Any], _: Any) -> Any:
        found.append(config_from_dict(meta["config"]))
        return abstract_state(learner_of(found[-1]))

    state, meta = restore_wanted(run_dir / "checkpoints", wanted, step)
    saved = to_torch(state, found[-1])
    try:
        with whole_file(path) as temporary:
            torch.save(saved, temporary)
    except (OSError, RuntimeError) as error:  # torch raises the second where a folder is missing
        raise UserError(f"{path} cannot be written ({error}): make room there, or choose another place") from None
    return int(meta["step"])


def load_torch_state(path: Path, run_dir: Path) -> int:
    """Puts the state in `path` into a run as a checkpoint, from which `jaxdec resume` goes on; returns its step.

    `run_dir` is a run with the same model and optimizer, of which checkpoints at or after that step are set aside; or
    it is new, and made with the settings that the file holds. Its corpus must be at hand, as for `resume`. Raises
    UserError, and has written nothing, where one does not fit the other.
    """
    path, run_dir = Path(path), Path(run_dir)
    saved, new = read_torch_state(path), run_directory.is_new(run_dir)
    try:
        config = _settings(saved, path) if new else run_directory.require_run(run_dir)
        if config.data.corpus == NO_CORPUS:
            raise UserError(f"{run_dir} holds weights alone: give a run of 'jaxdec train', or a new directory")
        tokenizer = None if new else load_tokenizer(run_dir / "tokenizer")
        config, stage = open_stage(config, tokenizer=tokenizer)
        state = from_torch(saved, config)
        if stage.reference is not None:
            stage = stage.reference.complete(_reference_of(run_dir))
    except UserError as error:
        raise error.within(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is not built as torchref.training.state.collect builds it ({type(error).__name__}: {error})"
        ) from None
    step = int(state["step"])
    if step > config.train.steps:
        raise UserError(
            f"{path} is of step {step}, and the run {run_dir} ends at {config.train.steps}: give it more train.steps"
        )
    with locked(run_dir):
        if new:
            run_directory.create(run_dir, config, stage.tokenizer)
        checkpoints = Checkpoints(run_dir / "checkpoints", config.train.keep_checkpoints)
        with contextlib.closing(checkpoints):
            checkpoints.save(step, jax.tree.map(jnp.asarray, state), meta_of(config, stage))
    return step


def read_torch_state(path: Path) -> dict[str, Any]:
    """The dict in a file of `torch.save`. Raises UserError where it is damaged, no training state, or holds objects
    whose reading would run code."""
    torch = _torch()
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from None
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} is no file of torch.save, or holds more than tensors, numbers and strings, and is not read: save "
            "what torchref.training.state.collect returns"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged ({str(error).splitlines()[0]}): save or copy it again") from None
    if not isinstance(saved, Mapping):
        raise UserError(f"{path} holds no training state: save what torchref.training.state.collect returns")
    return dict(saved)


def _reference_of(run_dir: Path) -> ReferenceValues:
    found = read_reference(run_dir)
    if found is None:
        raise UserError("it does not say what the reference said before training: load it into the run it came from")
    return found[0]


def _settings(saved: Mapping[str, Any], path: Path) -> RunConfig:
    if "run" not in saved:
        raise UserError("it has no settings of a run: make the run with 'jaxdec train', and give its directory")
    return config_from_dict(json.loads(saved["run"])).check()


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        raise needs_extra("training state of torchref needs PyTorch", "torch") from None
    return torch
