"""Loading a trained model, from its run directory or from weights that another program wrote: the one way in, for
evaluation, generation, training that starts from it, and conversion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.config.run import FloatType, RunConfig
from jaxdec.config.yaml import config_from_dict
from jaxdec.data.tokenizers.registry import Tokenizer, tokenizer_from_dict
from jaxdec.errors import UserError
from jaxdec.models.functional import Model, Params
from jaxdec.runs.source import is_run, open_weights, settings_of
from jaxdec.weights.formats.base import StoredModel
from jaxdec.weights.stream import LazyArray, our_arrays

Shardings = Mapping[str, jax.sharding.Sharding]


@dataclass(frozen=True)
class LoadedRun:
    """`params` [name -> array] of the checkpoint of `step`; the config's `vocab_size` is resolved. `place`: the run
    directory or the weights that it was loaded from."""

    config: RunConfig
    model: Model
    params: Params
    tokenizer: Tokenizer
    step: int
    place: Path | None = None


@dataclass(frozen=True)
class Source:
    """A trained model that has been found and checked. `read` gives its parameters, once: each tensor of weights is
    read when it goes to where `Shardings` has it, without them to the first device. `arrays` has them by name, made one
    by one when they are asked for, until then.
    """

    config: RunConfig
    model: Model
    tokenizer: Tokenizer
    step: int
    arrays: Mapping[str, LazyArray]
    read: Callable[[Shardings | None], Params]


def load_run(run_dir: Path | str, step: int | None = None) -> LoadedRun:
    """The newest good checkpoint of a run, or that of `step`, which describes itself; or the weights in a folder, in a
    file, or of a hub id.

    Raises UserError when there is no such checkpoint, or one that this version of the models cannot hold; and for
    weights that are damaged, or of a model that we do not have.
    """
    source = open_source(run_dir, step)
    return LoadedRun(source.config, source.model, source.read(None), source.tokenizer, source.step, Path(run_dir))


def open_source(given: Path | str, step: int | None = None) -> Source:
    """The same, parameters not placed yet. Raises UserError as `load_run` does."""
    if is_run(given):
        return _of_run(Path(given), step)
    if step is not None:
        raise UserError(f"{given} has no checkpoint {step}: it is no run directory, but weights. Leave --step out")
    return of_weights(open_weights(given))


def _of_run(run_dir: Path, step: int | None) -> Source:
    folder = run_dir / "checkpoints"
    if not folder.is_dir():
        raise UserError(f"{run_dir} is not a run directory (it has no checkpoints): give the --out of a 'jaxdec train'")
    params, meta = restore_params(folder, step)
    config = config_from_dict(meta["config"])
    tokenizer = tokenizer_from_dict(meta["tokenizer"])
    if config.model.vocab_size is None:
        config = replace(config, model=replace(config.model, vocab_size=tokenizer.vocab_size))
    model = Model.of(config)
    require_fit(model, params, f"checkpoint {meta['step']} in {folder}")
    held = [params]  # given away, so that the caller decides how long it lives
    arrays = {
        name: LazyArray(param.shape, np.dtype(param.dtype), partial(lambda name: np.asarray(held[0][name]), name))
        for name, param in params.items()
    }
    return Source(config, model, tokenizer, int(meta["step"]), arrays, lambda _: held.pop())


def of_weights(stored: StoredModel, dtype: FloatType | None = None) -> Source:
    """Weights as a run at step 0, in float32, or in float64 where the files and JAX's mode are. Raises UserError, with
    each name, for tensors that are missing, left over or misshapen."""
    if dtype is None:
        wide = any(tensor.dtype == "float64" for tensor in stored.tensors.values())
        dtype = "float64" if wide and jax.dtypes.canonicalize_dtype(np.float64) == np.float64 else "float32"
    config = settings_of(stored, dtype)
    model = Model.of(config)
    arrays = stored.finish(our_arrays(stored.rules, stored.tensors, model.shapes(), str(stored.place)))
    assert stored.tokenizer is not None
    return Source(config, model, stored.tokenizer, 0, arrays, partial(place_all, arrays, dtype))


def place_all(arrays: Mapping[str, LazyArray], dtype: str, shardings: Shardings | None = None) -> Params:
    """Copies of all arrays in a dtype, made and placed one by one."""
    where = shardings or {}
    return {name: placed(array.read(), dtype, where.get(name)) for name, array in arrays.items()}


def placed(array: np.ndarray, dtype: str, sharding: jax.sharding.Sharding | None) -> jax.Array:
    """A copy of an array in a dtype, on the first device or in parts on several; a device gets its part alone."""
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    kind = jax.numpy.dtype(dtype)
    return jax.make_array_from_callback(array.shape, sharding, lambda part: np.array(array[part], kind, order="C"))


def require_fit(
    model: Model, params: Mapping[str, Any], source: str, why: str = "it was written by another version"
) -> None:
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
