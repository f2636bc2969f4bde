"""nanoGPT's ckpt.pt: {"model": state_dict, "model_args": ..., "iter_num": ..., "config": ...}.

https://github.com/karpathy/nanoGPT, `train.py` and `model.py`. Names of compiled models start with "_orig_mod.". Its
GELU is exact; checkpoints from before `bias` was a setting are of a version with the tanh form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, LayerNorm
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.data.tokenizers.nanogpt import characters_in
from jaxdec.errors import UserError
from jaxdec.weights.formats import gpt
from jaxdec.weights.formats.base import Format, StoredModel
from jaxdec.weights.formats.fit import require_fit, save_tokenizer, tokenizer_beside, truth, whole
from jaxdec.weights.formats.torch_file import TorchTensor, is_torch_file, read_torch_file, state_dict
from jaxdec.weights.formats.torch_write import write_torch_file
from jaxdec.weights.stream import their_tensors

NAME, FILE = "nanogpt", "ckpt.pt"
COMPILED = "_orig_mod."
HEAD, EMBEDDING = "lm_head.weight", "transformer.wte.weight"
# As train.py saves them; it goes on training only where it finds an optimizer as well.
PROGRESS = {"iter_num": 0, "best_val_loss": 1e9, "config": {}}


def recognise(path: Path) -> bool:
    file = path / FILE if path.is_dir() else path
    if not is_torch_file(file):
        return False
    content = read_torch_file(file)
    return isinstance(content, Mapping) and isinstance(content.get("model_args"), Mapping) and "model" in content


def open_nanogpt(path: Path) -> StoredModel:
    """The model of a ckpt.pt, or of the folder that it lies in; of its tied head the one tensor."""
    file = path / FILE if path.is_dir() else path
    content = read_torch_file(file)
    tensors = state_dict(content["model"], file, COMPILED)
    config = config_of(content["model_args"], file)
    if HEAD in tensors and _same(tensors[HEAD], tensors.get(EMBEDDING)):
        del tensors[HEAD]
    else:
        config = replace(config, tied_head=False)
    tokenizer = _characters(file.parent, config) or tokenizer_beside(file, config.vocab_size or 0)
    return StoredModel(NAME, path, config, gpt.rules(config), tensors, tokenizer)


def write(file: Path, params: Mapping[str, Any], config: DecoderConfig, tokenizer: Tokenizer | None) -> None:
    """A ckpt.pt that nanoGPT's sample.py reads, and its train.py as first weights; it has no state of an optimizer."""
    arguments = arguments_of(config)
    require_fit(NAME, config, config_of(arguments, file))
    tensors: dict[str, Any] = dict(their_tensors(gpt.rules(config), params))
    tensors[HEAD] = tensors[EMBEDDING]
    write_torch_file(file, {"model": tensors, "model_args": arguments, **PROGRESS})
    save_tokenizer(tokenizer, file)


def config_of(arguments: Mapping[str, Any], file: Path) -> DecoderConfig:
    """The config that `model_args` say. UserError names what is missing or no number."""
    place = f"model_args of {file}"
    return DecoderConfig(
        layers=whole(arguments, "n_layer", place),
        heads=whole(arguments, "n_head", place),
        width=whole(arguments, "n_embd", place),
        context=whole(arguments, "block_size", place),
        vocab_size=whole(arguments, "vocab_size", place),
        norm=LayerNorm(1e-5),
        mlp=MLP(activation="gelu" if "bias" in arguments else "gelu_tanh"),
        bias=truth(arguments, "bias", place) if "bias" in arguments else True,
    )


def arguments_of(config: DecoderConfig) -> dict[str, Any]:
    """`model_args`, as far as nanoGPT has the settings."""
    return {
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_embd": config.width,
        "block_size": config.context,
        "bias": config.bias,
        "vocab_size": config.vocab_size or 1,
        "dropout": config.dropout,
    }


def _characters(folder: Path, config: DecoderConfig) -> Tokenizer | None:
    """The characters of a meta.json; None where there is none. UserError where they are not the model's."""
    characters = characters_in(folder)
    if characters is not None and characters.vocab_size != config.vocab_size:
        raise UserError(
            f"{folder / 'meta.json'} has {characters.vocab_size} characters, and the model's vocabulary "
            f"{config.vocab_size}: give that of the data it was trained on"
        )
    return characters


def _same(head: TorchTensor, embedding: TorchTensor | None) -> bool:
    """Whether the head is the embedding: the same place in the file, or the same numbers."""
    if embedding is None:
        raise UserError(f"{head.path} has {HEAD} and no {EMBEDDING}: it is no model of nanoGPT")
    return head.same_place(embedding) or np.array_equal(head.read(), embedding.read())


NANOGPT = Format(
    name=NAME,
    looked_for="nanoGPT's ckpt.pt, with model and model_args in it",
    recognise=recognise,
    open=open_nanogpt,
    write=write,
    suffixes=(".pt", ".pth"),
    file=FILE,
)
