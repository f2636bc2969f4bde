"""A state_dict of our PyTorch twin `torchref`, as torch or safetensors file, with the model's config.

The config stands in the file (`{"model": state_dict, "config": ...}`, or the metadata of safetensors), or as JSON
beside it: model.json for model.pt. It is what `config_to_dict` gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.yaml import build, config_to_dict
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.errors import UserError
from jaxdec.weights.formats.base import Format, StoredModel, StoredTensor
from jaxdec.weights.formats.fit import read_json, save_tokenizer, tokenizer_beside
from jaxdec.weights.formats.safetensors import open_safetensors, write_safetensors
from jaxdec.weights.formats.torch_file import is_torch_file, read_torch_file, state_dict
from jaxdec.weights.formats.torch_write import write_torch_file
from jaxdec.weights.stream import their_tensors
from jaxdec.weights.torchref import RULES

NAME = "torchref"
FILES = ("model.safetensors", "model.pt")
FIRST = "token_embed.weight"


def recognise(path: Path) -> bool:
    if (file := _file(path)) is None:
        return False
    if file.suffix == ".safetensors":
        return FIRST in open_safetensors(file).tensors
    content = read_torch_file(file)
    return isinstance(content, Mapping) and FIRST in _model(content)


def open_torchref(path: Path) -> StoredModel:
    """The model of a file, or of model.safetensors or model.pt in a folder."""
    file = _file(path)
    assert file is not None, f"{path} was recognised"
    tensors: Mapping[str, StoredTensor]
    if file.suffix == ".safetensors":
        found = open_safetensors(file)
        tensors, given = found.tensors, found.metadata.get("config")
    else:
        content = read_torch_file(file)
        tensors, given = state_dict(_model(content), file), content.get("config")
    config = _config(file, given)
    return StoredModel(NAME, path, config, RULES, tensors, tokenizer_beside(file, config.vocab_size or 0))


def write(file: Path, params: Mapping[str, Any], config: DecoderConfig, tokenizer: Tokenizer | None) -> None:
    """`torchref`'s state_dict and the config, in one file."""
    tensors = their_tensors(RULES, params)
    values = config_to_dict(config)
    if file.suffix == ".safetensors":
        write_safetensors(file, tensors, {"format": "pt", "config": json.dumps(values)})
    else:
        write_torch_file(file, {"model": tensors, "config": values})
    save_tokenizer(tokenizer, file)


def _file(path: Path) -> Path | None:
    """The file of weights that a path is or holds; None where it is of another kind."""
    for file in [path / name for name in FILES] if path.is_dir() else [path]:
        if (file.suffix == ".safetensors" and file.is_file()) or is_torch_file(file):
            return file
    return None


def _model(content: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = content.get("model")
    return inner if isinstance(inner, Mapping) else content


def _config(file: Path, given: Any) -> DecoderConfig:
    """The config in the file, or beside it. UserError where there is none, or one that is not a decoder's."""
    place = f"the config in {file}"
    if given is None:
        beside = file.with_suffix(".json")
        if not beside.is_file():
            raise UserError(f"{file} is a state_dict of torchref without its config: write that as JSON to {beside}")
        given, place = read_json(beside), str(beside)
    try:
        values = json.loads(given) if isinstance(given, str) else given
        config = build(DecoderConfig, values, "model")
    except (ValueError, RecursionError):
        raise UserError(f"{place} is no JSON: mend it") from None
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    if config.vocab_size is None:
        raise UserError(f"{place}: model.vocab_size is missing: give the number of rows that the embedding has")
    return config


TORCHREF = Format(
    name=NAME,
    looked_for="a state_dict of torchref (model.safetensors or model.pt)",
    recognise=recognise,
    open=open_torchref,
    write=write,
    suffixes=(".safetensors", ".pt", ".pth"),
    file=FILES[0],
)
