"""A Hugging Face folder: `config.json`, weights in one file or in several with an index, and a tokenizer.

`save_pretrained` of transformers writes such folders, and the hub holds them. Safetensors are taken before pickles.
Weights are read and written tensor by tensor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdec.config.files import write_json
from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import Learned
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.errors import UserError, listed
from jaxdec.weights.folder.tokenizer_files import read_tokenizer
from jaxdec.weights.folder.tokenizer_json import tokenizer_files
from jaxdec.weights.formats.base import Format, StoredModel, StoredTensor, damaged
from jaxdec.weights.formats.safetensors import open_safetensors, write_safetensors
from jaxdec.weights.formats.torch_file import read_torch_file, state_dict
from jaxdec.weights.huggingface.registry import FAMILIES, config_of, file_rules, hf_config_of, rules_of
from jaxdec.weights.stream import Outgoing, their_tensors

CONFIG, GENERATION = "config.json", "generation_config.json"
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
MAX_SHARD = 5 * 10**9  # bytes of a file, as transformers has it


def recognise(path: Path) -> bool:
    return path.is_dir() and (path / CONFIG).is_file()


def open_folder(path: Path) -> StoredModel:
    """Raises UserError for a model that we do not have, for weights that are not there or damaged, and for a tokenizer
    that cannot be read."""
    hf_config = read_json(path / CONFIG)
    try:
        config, rules = config_of(hf_config), rules_of(hf_config)
    except UserError as error:
        raise UserError(f"{path / CONFIG}: {error}") from None
    return StoredModel("huggingface", path, config, rules, stored_tensors(path), read_tokenizer(path, ends_of(path)))


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UserError where there is none."""
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from None
    except (ValueError, RecursionError):
        raise damaged(path, "it is no JSON") from None
    if not isinstance(values, dict):
        raise damaged(path, "it is no JSON object")
    return values


def stored_tensors(path: Path) -> Mapping[str, StoredTensor]:
    """The tensors of all files of a folder, by name. Raises UserError where a file is missing."""
    for name in (SAFE, PICKLED):
        if (path / name).is_file():
            return _tensors(path / name)
        if (path / f"{name}.index.json").is_file():
            return _sharded(path, path / f"{name}.index.json")
    found = sorted(each.name for each in path.iterdir() if each.suffix in (".h5", ".msgpack", ".ckpt", ".onnx"))
    other = f"; {listed(found)} cannot be read" if found else ""
    raise UserError(f"{path} has no weights: {SAFE} or {PICKLED}, whole or with an index, is looked for{other}")


def ends_of(path: Path) -> tuple[int, ...]:
    """The ids that end a text, as the generation config says, or else the config."""
    for name in (GENERATION, CONFIG):
        given = read_json(path / name).get("eos_token_id") if (path / name).is_file() else None
        if given is not None:
            return tuple(given) if isinstance(given, list) else (given,)
    return ()


def _tensors(path: Path) -> Mapping[str, StoredTensor]:
    if path.suffix == ".safetensors":
        return open_safetensors(path).tensors
    return state_dict(read_torch_file(path), path)


def _sharded(path: Path, index: Path) -> Mapping[str, StoredTensor]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise damaged(index, "it has no weight_map of names to files")
    files = list(dict.fromkeys(places.values()))
    if outside := [name for name in files if Path(name).name != name]:
        raise damaged(index, f"it names {outside[0]!r}, which is no file of this folder")
    if missing := [name for name in files if not (path / name).is_file()]:
        raise UserError(f"{path} lacks {listed(missing)}, of {len(files)} files with weights: fetch the rest")
    tensors: dict[str, StoredTensor] = {}
    for name in files:
        held = _tensors(path / name)
        tensors.update(held)
        if lost := [tensor for tensor, file in places.items() if file == name and tensor not in held]:
            raise damaged(path / name, f"it lacks {listed(lost)}, which {index.name} places there")
    return tensors


def write_folder(
    path: Path,
    params: Mapping[str, Any],
    config: DecoderConfig,
    tokenizer: Tokenizer | None,
    *,
    family: str | None = None,
    max_shard: int = MAX_SHARD,
) -> None:
    """Writes our flat parameters, which may be made when they are asked for, into an empty folder, dtypes kept.

    `family`: the model_type; None takes the first that has all of the config. Raises UserError where none has, and
    where the tokenizer cannot be written.
    """
    family = family or first_family(config)
    settings = hf_config_of(config, family)
    files = {} if tokenizer is None else tokenizer_files(tokenizer, config.context)
    tensors = their_tensors(file_rules(config, family), params)
    end = None if tokenizer is None else tokenizer.end_of_text
    dtypes = {str(tensor.dtype) for tensor in tensors.values()}
    settings |= {"bos_token_id": end, "eos_token_id": end, "torch_dtype": next(iter(dtypes)), "use_cache": True}
    write_json(path / CONFIG, settings)
    if end is not None:
        write_json(path / GENERATION, {"bos_token_id": end, "eos_token_id": end})
    for name, content in files.items():
        (path / name).write_text(content, encoding="utf-8")
    write_shards(path, tensors, max_shard)


def first_family(config: DecoderConfig) -> str:
    """The first model_type that has all of a config. Raises UserError, naming what is in the way of the nearest one."""
    reasons = []
    for name in FAMILIES:
        try:
            hf_config_of(config, name)
        except UserError as error:
            reasons.append(str(error))
            continue
        return name
    if not reasons:
        raise UserError("there is no Hugging Face family")
    raise UserError(f"no Hugging Face family has this model, for example: {nearest_reason(config, reasons)}")


def nearest_reason(config: DecoderConfig, reasons: list[str]) -> str:
    """The reason of the family that is most like a model: GPT-2 for one with learned positions, otherwise Llama."""
    like = "gpt2" if isinstance(config.position, Learned) else "llama"
    return next((reason for reason in reasons if reason.startswith(f"{like} ")), reasons[0]).split(": no supported")[0]


def write_shards(path: Path, tensors: Mapping[str, Outgoing], max_shard: int) -> None:
    """One file, or several of at most `max_shard` bytes with an index; a tensor larger than that has its own."""
    shards: list[dict[str, Outgoing]] = [{}]
    held = 0
    for name, tensor in tensors.items():
        if shards[-1] and held + tensor.nbytes > max_shard:
            shards.append({})
            held = 0
        shards[-1][name] = tensor
        held += tensor.nbytes
    if len(shards) == 1:
        write_safetensors(path / SAFE, tensors, {"format": "pt"})
        return
    names = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        write_safetensors(path / name, shard, {"format": "pt"})
    places = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    total = sum(tensor.nbytes for tensor in tensors.values())
    write_json(path / f"{SAFE}.index.json", {"metadata": {"total_size": total}, "weight_map": places})


HUGGINGFACE = Format(
    name="huggingface",
    looked_for=f"a Hugging Face folder ({CONFIG} and {SAFE} or {PICKLED})",
    recognise=recognise,
    open=open_folder,
    write=write_folder,
)
