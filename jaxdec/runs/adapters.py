"""The adapters of a run as a folder that `peft` reads, beside a base model as a Hugging Face folder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import Precision
from jaxdec.config.trainable import Everything
from jaxdec.data.files import new_folder
from jaxdec.errors import UserError
from jaxdec.models.functional import Model
from jaxdec.runs.converting import fitted, require_free, write_weights
from jaxdec.runs.loading import Source, place_all
from jaxdec.runs.source import is_run
from jaxdec.weights.folder.hub import is_hub_id, local_place
from jaxdec.weights.formats.huggingface import MAX_SHARD, open_folder, read_json, recognise
from jaxdec.weights.formats.peft_write import write_adapter
from jaxdec.weights.lora import is_adapter
from jaxdec.weights.stream import our_arrays


def write_adapter_folder(source: Source, place: Path, base: str | None, family: str | None) -> str:
    """Writes the adapters of a run to `place`, and returns where their base model is.

    `base`: a Hugging Face folder with the weights that the run started from; where it is not there, it is made. None:
    what `init_from` names, a folder or hub id. Raises UserError where the run has no adapters, where the base has other
    weights, and for adapters that the layout has no place for; then nothing is written.
    """
    require_free(place)
    lora, model = source.model.lora, source.config.model
    if lora is None:
        raise UserError("--to peft writes adapters alone, and this run has none: give a run of --trainable lora")
    if not isinstance(model, DecoderConfig) or model.classes is not None:
        kind = "classifier" if isinstance(model, DecoderConfig) else f"model of kind {model.kind}"
        raise UserError(f"--to peft writes adapters of language models, and this run is a {kind}: leave --to peft out")
    base = base or named_base(source)
    folder, bare = Path(base).expanduser(), without_adapters(source)
    made = not folder.exists() and not (base == source.config.init_from and is_hub_id(base))
    if not made:
        folder = folder if folder.exists() else local_place(base)
        if not recognise(folder):
            raise UserError(f"--base {base} is no Hugging Face folder: give one, or a new place where it is made")
        family = family or str(read_json(folder / "config.json").get("model_type"))
    family, whole = fitted(bare, model, family)
    if not made:
        require_same_weights(whole, folder)
    adapters = {name: array for name, array in source.arrays.items() if is_adapter(name)}
    config = whole.config.model
    assert isinstance(config, DecoderConfig)
    with new_folder(place, "the adapter's folder") as temporary:
        write_adapter(temporary, {**whole.arrays, **adapters}, config, family, lora, base)
        if made:
            write_weights(bare, folder, "huggingface", family=family, max_shard=MAX_SHARD, figures={})
    return base


def named_base(source: Source) -> str:
    """The weights that a run started from, where they are a Hugging Face folder or of the hub."""
    start = source.config.init_from
    if start is None or is_run(start) or not (recognise(Path(start).expanduser()) or is_hub_id(start)):
        raise UserError(
            "--to peft needs the base model as a Hugging Face folder: give --base FOLDER, which is made if it is not "
            "there"
        )
    return start


def without_adapters(source: Source) -> Source:
    """The base model of a run."""
    arrays = {name: array for name, array in source.arrays.items() if not is_adapter(name)}
    config = replace(source.config, trainable=Everything())
    read = partial(place_all, arrays, config.precision.params)
    return replace(source, config=config, model=source.model.base, arrays=arrays, read=read)


def require_same_weights(source: Source, folder: Path) -> None:
    """Raises UserError unless a Hugging Face folder has this model's weights, number by number."""
    stored = open_folder(folder)
    theirs = our_arrays(stored.rules, stored.tensors, Model(stored.config, Precision()).shapes(), str(folder))
    for name in sorted(theirs.keys() | source.arrays.keys()):
        same = name in theirs and name in source.arrays and theirs[name].shape == source.arrays[name].shape
        if same:
            ours = np.asarray(source.arrays[name].read())
            same = np.array_equal(np.asarray(theirs[name].read()).astype(ours.dtype), ours)
        if not same:
            raise UserError(
                f"--base {folder} has another {name} than the run started from: give the weights that it started from, "
                "or a new place where they are written"
            )
