"""One side's tensors in a folder, so that PyTorch and JAX may live on different machines.

`tensors.safetensors` holds every array under "stage/name", `dump.json` what they are: side, pair, setting, versions,
the order of names in each stage, and digests of the batch, of the weights and of the tensors' file. Both sides use the
candidate's names, so that comparing (`compare.py`) is by name and needs neither framework.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from jaxdec.config.versions import versions
from jaxdec.data.files import file_sha256
from jaxdec.errors import UserError, nearest
from jaxdec.parity.setting import PrecisionName, WeightInit

FORMAT = 2
PACKAGES = ("jax", "flax", "optax", "torch", "transformers", "numpy")
INFO, TENSORS = "dump.json", "tensors.safetensors"
STAGES = ("weights", "taps", "logits", "loss", "gradients", "updates", "losses", "greedy")

Side = Literal["candidate", "reference"]
RecordedStages = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Recording:
    """What one side computed, under the candidate's names and in its layouts (`WeightPlan.to_candidate`).

    stages: stage -> name -> array, in the order of a report. "weights" is always there. "taps" are in the order of
        execution; "logits", "loss" and "gradients" are of the first batch; "updates" are of one optimizer step from
        gradients that both sides were given; "losses" one array [N] a run; "greedy" token ids, one array a prompt.
    batches: what the side was given: token ids, targets, masks; one for each training step. Only digests are
        written.
    routing: for the tap of a router's scores [.., E], how many experts a token goes to.
    rules: the weight rule table by which a reference's tensors were named.
    environment: versions and settings; None writes the versions of the installed frameworks.
    """

    side: Side
    pair: str
    stages: RecordedStages
    batches: Sequence[Mapping[str, Any]]
    precision: PrecisionName = "float64"
    weight_init: WeightInit = "generic"
    seed: int = 0
    rules: str = ""
    routing: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True, eq=False)
class Dump:
    """A folder read back, complete and undamaged. `batch` and `weights` are sha256 digests, the first by part
    over all `batches`."""

    folder: Path
    side: Side
    pair: str
    precision: PrecisionName
    weight_init: WeightInit
    seed: int
    batches: int
    batch: Mapping[str, str]
    weights: str
    rules: str
    routing: Mapping[str, int]
    environment: Mapping[str, str]
    stages: Mapping[str, Mapping[str, np.ndarray]] = field(repr=False)


def dump(folder: str | Path, recording: Recording) -> Path:
    """Writes the folder whole or not at all, and returns it. bfloat16 is stored as float32, which holds it exactly.

    Raises UserError where there is something in `folder`, it cannot be written, or safetensors is not installed.
    """
    safetensors = _safetensors()
    folder = Path(folder)
    if unknown := [stage for stage in recording.stages if stage not in STAGES]:
        raise UserError(f"a dump has no stage '{unknown[0]}'{nearest(unknown[0], STAGES)}")
    if not recording.stages.get("weights"):
        raise UserError(f"the dump of {recording.pair} has no weights: the stage 'weights' tells which model was run")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already: choose another folder for the dump")
    tensors = {
        f"{stage}/{name}": _storable(f"{stage}/{name}", value)
        for stage, arrays in recording.stages.items()
        for name, value in arrays.items()
    }
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        try:
            safetensors.save_file(tensors, partial / TENSORS)
            text = json.dumps(_info(recording, file_sha256(partial / TENSORS)), indent=2) + "\n"
            (partial / INFO).write_text(text, encoding="utf-8")
            if folder.exists():
                folder.rmdir()  # empty, as seen above: some systems do not rename onto a folder
            os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write the dump {folder}: {error.strerror or error}; choose another folder") from None
    return folder


def read_dump(folder: str | Path) -> Dump:
    """Raises UserError when `folder` is no dump, of another format, or damaged."""
    folder = Path(folder)
    info = _read_info(folder)
    safetensors = _safetensors()
    from safetensors import SafetensorError

    path = folder / TENSORS
    try:
        if file_sha256(path) != info["sha256"]["tensors"]:
            raise UserError(f"{path} is damaged (its sha256 is not the one in {INFO}): write or copy the dump again")
        tensors = safetensors.load_file(path)
        stages = {
            stage: {name: tensors[f"{stage}/{name}"] for name in names}
            for stage, names in info["stages"].items()
            if stage in STAGES
        }
        return Dump(
            folder,
            *(info[key] for key in ("side", "pair", "precision", "weight_init", "seed", "batches")),
            batch=dict(info["sha256"]["batch"]),
            weights=info["sha256"]["weights"],
            rules=info["rules"],
            routing=dict(info["routing"]),
            environment=dict(info["environment"]),
            stages=stages,
        )
    except FileNotFoundError:
        raise UserError(f"{folder} is not a complete dump (it has no {TENSORS}): write or copy it again") from None
    except (OSError, KeyError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise UserError(f"{folder} is damaged ({_one_line(error)}): write or copy the dump again") from None


def digest(arrays: Mapping[str, Any]) -> str:
    """sha256 of names, shapes and values; integers count as int64 and floats as float64, so that frameworks agree."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        value = np.asarray(arrays[name])
        value = value.astype("<i8" if value.dtype.kind in "iub" else "<f8", order="C")
        found.update(f"{name} {value.dtype.kind} {value.shape}\n".encode())
        found.update(value.tobytes())
    return found.hexdigest()


def batch_digests(batches: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """By part ("tokens", "targets", "mask"), so that a difference can be named."""
    parts = sorted({part for batch in batches for part in batch})
    return {
        part: digest({f"{at:06}": batch[part] for at, batch in enumerate(batches) if part in batch}) for part in parts
    }


def _info(recording: Recording, tensors: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "side": recording.side,
        "pair": recording.pair,
        "precision": recording.precision,
        "weight_init": recording.weight_init,
        "seed": recording.seed,
        "batches": len(recording.batches),
        "sha256": {
            "batch": batch_digests(recording.batches),
            "weights": digest(recording.stages["weights"]),
            "tensors": tensors,
        },
        "rules": recording.rules,
        "routing": dict(recording.routing),
        "environment": dict(versions(PACKAGES) if recording.environment is None else recording.environment),
        "stages": {stage: list(recording.stages[stage]) for stage in STAGES if stage in recording.stages},
    }


def _read_info(folder: Path) -> dict[str, Any]:
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder} is not a dump (it has no {INFO}): give a folder of 'jaxdec parity dump'") from None
    except OSError as error:
        raise UserError(f"cannot read {folder / INFO}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{folder / INFO} is damaged (it is no JSON): write or copy the dump again") from None
    if not isinstance(info, dict) or "format" not in info:
        raise UserError(f"{folder} is not a dump ({INFO} names no format): give a folder of 'jaxdec parity dump'")
    if info["format"] != FORMAT:
        raise UserError(f"{folder} has format {info['format']!r}, and this jaxdec reads {FORMAT}: write the dump again")
    allowed = {"side": get_args(Side), "precision": get_args(PrecisionName), "weight_init": get_args(WeightInit)}
    for key, values in allowed.items():
        if info.get(key) not in values:
            raise UserError(f"{folder / INFO} is damaged ({key} is {info.get(key)!r}): write or copy the dump again")
    return info


def _storable(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise UserError(f"the dump's {name} holds {array.dtype}: only numbers can be written")
    return np.array(array, np.float32 if array.dtype.name == "bfloat16" else array.dtype.newbyteorder("="), order="C")


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise UserError("dumps need safetensors, which is not installed: pip install safetensors") from None
    return safetensors.numpy


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
