"""An adapter of `peft`: a folder with `adapter_config.json` and `adapter_model.safetensors`, and its base model.

It is read with its base, and merged: W + (alpha / r) B A. Only plain LoRA is: whatever else `peft` can save changes the
function in another way, and is refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.errors import UserError, listed
from jaxdec.weights.folder.hub import is_hub_id, local_place
from jaxdec.weights.formats.base import Format, StoredModel, StoredTensor, damaged
from jaxdec.weights.formats.huggingface import open_folder, read_json, recognise
from jaxdec.weights.formats.peft_write import CONFIG, PREFIX, WEIGHT, WEIGHTS, module_plan
from jaxdec.weights.formats.safetensors import open_safetensors
from jaxdec.weights.formats.torch_file import read_torch_file, state_dict
from jaxdec.weights.ops import carry, transposes
from jaxdec.weights.stream import LazyArray

PICKLED = "adapter_model.bin"
KEY = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight")
READ = ("peft_type", "base_model_name_or_path", "r", "lora_alpha", "alpha_pattern", "use_rslora", "init_lora_weights")
# Settings that say how it was trained, which modules have adapters (their tensors say that), or how peft runs it.
WITHOUT_EFFECT = (
    "auto_mapping", "exclude_modules", "fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform",
    "lora_dropout", "megatron_config", "megatron_core", "peft_version", "qalora_group_size", "rank_pattern", "revision",
    "target_modules", "task_type", "runtime_config", "loftq_config", "eva_config", "corda_config",
)  # fmt: skip
NOTHING = (None, False, "none", [], {}, "")
STARTS = (None, True, False, "gaussian", "eva", "orthogonal")  # that leave the base as it is


def is_adapter_folder(path: Path) -> bool:
    return path.is_dir() and (path / CONFIG).is_file()


def open_adapter(path: Path, base: str | None = None) -> StoredModel:
    """The base model with the adapter merged. `base`: where the base is, in place of what the adapter's config says.

    Raises UserError where the base is not there or is no Hugging Face folder, for what is no plain LoRA, and for
    tensors that are missing, left over or misshapen.
    """
    settings = read_json(path / CONFIG)
    require_lora(path / CONFIG, settings)
    stored = open_base(path, settings.get("base_model_name_or_path"), base)
    adapters = factors(path)
    family = read_json(stored.place / "config.json")["model_type"]
    scales = {module: scale(settings, module, len(pair["A"].read())) for module, pair in adapters.items()}
    finish = partial(merged, path, stored, family, adapters, scales)
    return replace(stored, format="peft", finish=finish)


def require_lora(file: Path, settings: Mapping[str, Any]) -> None:
    """Raises UserError for a setting that makes another function than plain LoRA."""
    if (kind := settings.get("peft_type")) != "LORA":
        raise UserError(f"{file}: peft_type is {kind}, and only LORA is read: merge it with peft (merge_and_unload)")
    other = [name for name in settings if name not in READ + WITHOUT_EFFECT and settings[name] not in NOTHING]
    if settings.get("init_lora_weights") not in STARTS:
        other.append("init_lora_weights")
    if other:
        value = settings[other[0]]
        raise UserError(f"{file}: {other[0]} is {value!r}, and only plain LoRA is read: merge it with peft first")


def open_base(path: Path, named: Any, given: str | None) -> StoredModel:
    """The base model of an adapter: what the user gives, or what its config names, from here or from its folder."""
    advice = f"give its Hugging Face folder, 'jaxdec convert {path} DST --base FOLDER'"
    if given is None and not isinstance(named, str):
        raise UserError(f"{path / CONFIG} names no base model: {advice}")
    wanted = str(given or named)
    place = next((each for each in (Path(wanted).expanduser(), path / wanted) if each.exists()), None)
    if place is None and not (given is None and is_hub_id(wanted)):
        raise UserError(f"the base model of {path} is {wanted}, which is not there: {advice}")
    try:
        place = place or local_place(wanted)
    except UserError as error:
        raise error.within(f"the base model of {path}: {error}; or {advice}") from None
    if not recognise(place):
        raise UserError(f"the base model of {path} is {place}, which is no Hugging Face folder: {advice}")
    return open_folder(place)


def factors(path: Path) -> dict[str, dict[str, StoredTensor]]:
    """{module: {"A": [r, in], "B": [out, r]}}. Raises UserError for any other tensor, and for one without the other."""
    if (path / WEIGHTS).is_file():
        tensors: Mapping[str, StoredTensor] = open_safetensors(path / WEIGHTS).tensors
    elif (path / PICKLED).is_file():
        tensors = state_dict(read_torch_file(path / PICKLED), path / PICKLED)
    else:
        raise UserError(f"{path} has no weights of an adapter: {WEIGHTS} or {PICKLED} is looked for")
    found: dict[str, dict[str, StoredTensor]] = {}
    for name, tensor in tensors.items():
        match = KEY.fullmatch(name.removeprefix(PREFIX))
        if match is None:
            raise UserError(f"{path}: {name} is no part of plain LoRA, which alone is read: merge it with peft first")
        found.setdefault(match["module"], {})[match["side"]] = tensor
    for module, pair in found.items():
        if set(pair) != {"A", "B"} or len(pair["A"].shape) != 2 or pair["A"].shape[0] != pair["B"].shape[1]:
            raise damaged(path, f"{module} has no lora_A [r, in] and lora_B [out, r] of one rank")
    if not found:
        raise damaged(path, "it holds no tensors")
    return found


def scale(settings: Mapping[str, Any], module: str, rank: int) -> float:
    """What the adapter of a module is multiplied by, as `peft` finds it: a pattern is a name or the end of one."""
    patterns = settings.get("alpha_pattern") or {}
    alpha = next((patterns[key] for key in patterns if re.match(rf"(.*\.)?({key})$", module)), settings["lora_alpha"])
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def merged(
    path: Path,
    stored: StoredModel,
    family: str,
    adapters: Mapping[str, Mapping[str, StoredTensor]],
    scales: Mapping[str, float],
    arrays: dict[str, LazyArray],
) -> dict[str, LazyArray]:
    """Our parameters with the adapters in them. Raises UserError for one of a module that is none of the model's."""
    plan = module_plan(arrays, stored.config, family)
    held: dict[str, list[Any]] = {}
    for entry in plan.entries:
        if entry.name.endswith(".kernel"):
            held.setdefault(entry.sources[0].removesuffix(WEIGHT), []).append(entry)
    if unknown := [module for module in adapters if module not in held]:
        raise UserError(f"{path} has adapters of {listed(unknown)}, which are no linear modules of its base model")
    arrays = dict(arrays)
    for module, pair in adapters.items():
        turned, shape = transposes(held[module][0].rule.ops), plan.reference_shapes[module + WEIGHT]
        made = (pair["B"].shape[0], pair["A"].shape[1])
        if (made if turned else made[::-1]) != shape:
            raise damaged(
                path, f"the adapter of {module} is for {made[1]} to {made[0]} channels, its weight is {shape}"
            )
        for entry in held[module]:
            change = partial(with_product, entry.rule.ops, pair, scales[module], turned)
            arrays[entry.name] = arrays[entry.name].then(change)
    return arrays


def with_product(
    ops: Any, pair: Mapping[str, StoredTensor], scale: float, turned: bool, weight: np.ndarray
) -> np.ndarray:
    """Our weight and what is our part of scale B A, added in float64."""
    a, b = (np.asarray(pair[side].read(), np.float64) for side in "AB")
    product = scale * (b @ a)
    added = carry(ops, product if turned else product.T)
    return (np.asarray(weight, np.float64) + added).astype(weight.dtype)


PEFT = Format(
    name="peft",
    looked_for=f"an adapter of peft ({CONFIG} and {WEIGHTS})",
    recognise=is_adapter_folder,
    open=open_adapter,
)
