"""Loading a trained model from its run directory, for evaluation and generation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import jax

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import config_from_dict
from jaxdec.data.tokenizers.registry import Tokenizer, tokenizer_from_dict
from jaxdec.errors import UserError
from jaxdec.models.functional import Model, Params


@dataclass(frozen=True)
class LoadedRun:
    """`params` [name -> array] of the checkpoint of `step`; the config's `vocab_size` is resolved."""

    config: RunConfig
    model: Model
    params: Params
    tokenizer: Tokenizer
    step: int


def load_run(run_dir: Path | str, step: int | None = None) -> LoadedRun:
    """The newest good checkpoint of a run, or that of `step`. Reads the checkpoint alone, which describes itself.

    Raises UserError when the folder holds no such checkpoint, or one that this version of the models cannot hold.
    """
    folder = Path(run_dir) / "checkpoints"
    if not folder.is_dir():
        raise UserError(f"{run_dir} is not a run directory (it has no checkpoints): give the --out of a 'jaxdec train'")
    params, meta = restore_params(folder, step)
    config = config_from_dict(meta["config"])
    tokenizer = tokenizer_from_dict(meta["tokenizer"])
    if config.model.vocab_size is None:
        config = replace(config, model=replace(config.model, vocab_size=tokenizer.vocab_size))
    model = Model(config.model, config.precision)
    require_fit(model, params, f"checkpoint {meta['step']} in {folder}")
    return LoadedRun(config, model, params, tokenizer, int(meta["step"]))


def require_fit(model: Model, params: Params, source: str, why: str = "it was written by another version") -> None:
    """Raises UserError for the first parameter that is missing, left over or misshapen. `why`: what to make of it."""
    expected: dict[str, jax.ShapeDtypeStruct] = model.shapes()
    for name in sorted(expected.keys() | params.keys()):
        if name not in params or name not in expected:
            fault = "lacks" if name not in params else "has an unknown"
            raise UserError(f"{source} {fault} parameter {name}: {why}")
        if params[name].shape != expected[name].shape:
            raise UserError(
                f"{source}: parameter {name} has shape {params[name].shape}, the config asks for "
                f"{expected[name].shape}: {why}"
            )
