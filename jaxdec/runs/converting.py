"""A trained model in another form: another dtype, vocabulary or context, as a run directory or in another layout.

Tensors are read, changed and written one by one where the layout is a file of tensors; a run directory's checkpoint is
written from memory.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import LayerNorm
from jaxdec.config.run import Precision, RunConfig
from jaxdec.config.tokenizers import HuggingFace
from jaxdec.config.yaml import config_to_dict
from jaxdec.data.files import new_folder
from jaxdec.data.tokenizers.registry import HuggingFaceTokenizer
from jaxdec.errors import UserError
from jaxdec.models.functional import Model
from jaxdec.runs import directory as run_directory
from jaxdec.runs.loading import Source, place_all
from jaxdec.weights.folder.card import model_card
from jaxdec.weights.formats.base import DTYPES
from jaxdec.weights.formats.huggingface import first_family, write_folder
from jaxdec.weights.formats.registry import write_model
from jaxdec.weights.huggingface.registry import FAMILIES, hf_config_of
from jaxdec.weights.resize import NewRows, with_context, with_positions, with_tokens
from jaxdec.weights.stream import LazyArray

POSITIONS = "position_embed.embedding"
WeightType = Literal["float32", "bfloat16", "float16", "float64"]


@dataclass(frozen=True)
class Changes:
    """What becomes another on the way; None leaves it as it is."""

    dtype: WeightType | None = None
    vocab_size: int | None = None
    context: int | None = None
    new_rows: NewRows = "mean"
    seed: int = 0


def changed(source: Source, changes: Changes) -> Source:
    """The model after the changes, its parameters not read yet. Raises UserError where a change is not possible."""
    model, arrays = source.config.model, dict(source.arrays)
    if changes.vocab_size is not None:
        model = replace(model, vocab_size=changes.vocab_size)
        resize = partial(_tokens_resized, source, changes)
        arrays = {name: resize(name, array) for name, array in arrays.items()}
    if changes.context is not None:
        if not isinstance(model, DecoderConfig):
            raise UserError(f"--context changes decoders, and this is a model of kind {model.kind}")
        model = with_context(model, changes.context)
        if POSITIONS in arrays:
            shape = (changes.context, arrays[POSITIONS].shape[1])
            arrays[POSITIONS] = arrays[POSITIONS].then(partial(with_positions, count=changes.context), shape)
    config = fitting(replace(source.config, model=model))
    if changes.dtype is not None:
        arrays = {name: array.astype(DTYPES[changes.dtype]) for name, array in arrays.items()}
    return replace(source, config=config, arrays=arrays, read=partial(place_all, arrays, config.precision.params))


def fitting(config: RunConfig) -> RunConfig:
    """A run whose window fits into its context."""
    window = min(config.window, config.model.context)
    unit = window * config.sequences_per_example
    tokens = unit * max(1, config.train.tokens_per_step // unit)
    data = replace(config.data, window=None if window == config.model.context else window)
    return replace(config, data=data, train=replace(config.train, tokens_per_step=tokens))


def _tokens_resized(source: Source, changes: Changes, name: str, array: LazyArray) -> LazyArray:
    axes, count, known = source.model.axes[name], changes.vocab_size, source.tokenizer.vocab_size
    assert count is not None
    if count < known:
        raise UserError(
            f"--vocab-size is {count}, and the tokenizer has {known} tokens: only the padding behind them can be cut"
        )
    if "vocab" not in axes:
        return array
    axis = axes.index("vocab")
    shape = (*array.shape[:axis], count, *array.shape[axis + 1 :])
    std = getattr(source.config.model, "init_std", 0.02)
    resize = partial(with_tokens, axis=axis, count=count, known=known, how=changes.new_rows, std=std, seed=changes.seed)
    return array.then(resize, shape)


def write_run(source: Source, run_dir: Path, dtype: WeightType | None, origin: str) -> None:
    """A run directory with one checkpoint, of parameters alone. `dtype` None keeps that of a run and is float32 for
    weights. Raises UserError where it is there already or cannot be written; then nothing is left."""
    if dtype == "float16":
        raise UserError("a run has no parameters in float16: give --dtype float32, bfloat16 or float64")
    require_free(run_dir)
    config = source.config
    if dtype is not None:
        compute = "float64" if dtype == "float64" else config.precision.compute
        compute = "float32" if dtype != "float64" and compute == "float64" else compute
        config = replace(config, precision=Precision(dtype, compute))
    if isinstance(source.tokenizer, HuggingFaceTokenizer):
        config = replace(
            config, data=replace(config.data, tokenizer=HuggingFace(str(run_dir / "tokenizer" / "huggingface.json")))
        )
    Model(config.model, config.precision)  # float64 needs JAX's mode
    with new_folder(run_dir, "the run directory") as temporary:
        run_directory.create(temporary, config.check(), source.tokenizer)
        params = source.read(None) if dtype is None else place_all(source.arrays, dtype)
        with contextlib.closing(Checkpoints(temporary / "checkpoints", keep=1)) as checkpoints:
            meta = {
                "seed": config.train.seed,
                "config": config_to_dict(config),
                "tokenizer": source.tokenizer.to_dict() | {"hash": source.tokenizer.hash},
                "data": "",
                "weights_of": origin,
            }
            checkpoints.save(source.step, {"params": params}, meta)


def write_weights(
    source: Source, place: Path, layout: str, *, family: str | None, max_shard: int, figures: Mapping[str, Any]
) -> str:
    """The model in another program's layout; returns what it is called there. Raises UserError, naming the setting,
    where the layout has no such model, and where `place` is taken; then nothing is written."""
    require_free(place)
    config = source.config.model
    if not isinstance(config, DecoderConfig):
        raise UserError(f"model.kind is {config.kind}: other programs' layouts have decoders alone")
    if config.classes is not None and layout != "torchref":
        raise UserError(
            f"model.classes is {config.classes}: other programs' layouts have heads over the vocabulary; a classifier "
            "is written with --to torchref"
        )
    if layout != "huggingface":
        if family is not None:
            raise UserError(f"--family is of --to huggingface, not of {layout}")
        write_model(layout, place, source.arrays, config, source.tokenizer)
        return layout
    family, source = fitted(source, config, family)
    config = source.config.model
    assert isinstance(config, DecoderConfig)
    with new_folder(place, "the weights' folder") as temporary:
        write_folder(temporary, source.arrays, config, source.tokenizer, family=family, max_shard=max_shard)
        card = model_card(place.name, FAMILIES[family].architecture, source.config, count(source), source.step, figures)
        (temporary / "README.md").write_text(card, encoding="utf-8")
    return family


def fitted(source: Source, config: DecoderConfig, family: str | None) -> tuple[str, Source]:
    """The Hugging Face family, the first that fits where none is given, and the model in it. Where a family fits but
    for its biases, which a model lacks, it is the same function with biases of zero. Raises UserError where none fits.
    """

    def fits(config: DecoderConfig) -> str:
        if family is None:
            return first_family(config)
        hf_config_of(config, family)
        return family

    try:
        return fits(config), source
    except UserError as error:
        norm = replace(config.norm, bias=None) if isinstance(config.norm, LayerNorm) else config.norm
        biased = replace(config, bias=True, attention_bias=None, norm=norm)
        try:
            found = fits(biased)
        except UserError:
            raise error from None
    shapes = Model(biased, source.config.precision).shapes()
    added = {name: shape.shape for name, shape in shapes.items() if name not in source.arrays}
    assert all(name.endswith(".bias") for name in added), added
    dtype = next(iter(source.arrays.values())).dtype
    zeros = {name: LazyArray(shape, dtype, partial(np.zeros, shape, dtype)) for name, shape in added.items()}
    changed = replace(source.config, model=biased)
    return found, replace(source, config=changed, arrays={**source.arrays, **zeros})


def require_free(place: Path) -> None:
    """Raises UserError where there is something."""
    if place.exists() or place.is_symlink():
        raise UserError(f"{place} is there already: choose another DST, or delete it")


def count(source: Source) -> int:
    """Numbers in all parameters."""
    return sum(int(np.prod(array.shape)) for array in source.arrays.values())


def summary_of(given: Path) -> dict[str, Any]:
    """What summary.json of a run holds; nothing where there is none that can be read."""
    try:
        values = json.loads((given / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
