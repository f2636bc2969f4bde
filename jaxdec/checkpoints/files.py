"""What lies in a checkpoint folder, and how one checkpoint is read with every check.

- `<step>/`: complete;
- `<step>.orbax-checkpoint-tmp/`: being written, or left by a killed process;
- `<step>.damaged/`, `<step>.superseded/`: set aside, not read again; the user may delete them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxdec.checkpoints.fingerprint import Leaf, fingerprints, named_leaves
from jaxdec.checkpoints.orbax import one_line, orbax, os_reason
from jaxdec.errors import UserError

UNFINISHED = ".orbax-checkpoint-tmp"

Wanted = Callable[[dict[str, Any], dict[str, Leaf]], Any]


class Damaged(Exception):
    """A checkpoint that must not be used; the text says why, in one line."""


def complete_steps(folder: Path) -> list[int]:
    """The steps of which `folder` holds a complete checkpoint, ascending; none when there is no such folder."""
    if not folder.is_dir():
        return []
    named = [path for path in folder.iterdir() if re.fullmatch(r"0|[1-9]\d*", path.name)]
    return sorted(int(path.name) for path in named if path.is_dir())


def unfinished(folder: Path) -> dict[int, Path]:
    """What a save under way or an interrupted one has left in `folder`, by step."""
    return {int(path.name.split(".")[0]): path for path in folder.glob(f"[0-9]*{UNFINISHED}")}


def remove(path: Path) -> None:
    """Deletes a folder into which the threads of a failed save may still write for a moment."""
    quiet = 0
    for _ in range(100):
        shutil.rmtree(path, ignore_errors=True)
        quiet = 0 if path.exists() else quiet + 1
        if quiet == 5:
            return
        time.sleep(0.05)


def make_record(meta: dict[str, Any], leaves: dict[str, Leaf]) -> dict[str, Any]:
    """`meta` and what makes damage visible: the fingerprint of every array, and a digest of all the rest."""
    return {**meta, "integrity": {"leaves": leaves, "sha256": _digest({**meta, "leaves": leaves})}}


def read(path: Path, wanted: Wanted) -> tuple[Any, dict[str, Any]]:
    """The arrays and the meta of the checkpoint in `path`, verified.

    wanted: given the meta and the stored leaves, returns the tree of ShapeDtypeStructs to read: all of them or a part.
    Raises Damaged; UserError where the stored arrays are sound but not those wanted.
    """
    ocp = orbax()
    with _damage(), ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        record = reader.restore(path, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
        meta, leaves = _open_record(record, step=int(path.name))
        abstract = jax.tree.map(_placed, wanted(meta, leaves))
        require_fit(path, abstract, leaves)
        placement = ocp.checkpoint_utils.construct_restore_args(abstract)
        arrays = ocp.args.PyTreeRestore(item=abstract, restore_args=placement, partial_restore=True)
        state = reader.restore(path, args=ocp.args.Composite(state=arrays)).state
        changed = [name for name, leaf in fingerprints(state).items() if leaf != leaves[name]]
    if changed:
        others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise Damaged(f"the values of {changed[0]}{others} are not those that were saved")
    return state, meta


def require_fit(path: Path, abstract: Any, leaves: dict[str, Leaf]) -> None:
    """Raises UserError unless every leaf of `abstract` is stored in the checkpoint with the same type and shape."""
    for name, leaf in named_leaves(abstract).items():
        stored = leaves.get(name)
        here = f"{leaf.dtype}{list(leaf.shape)}"
        there = f"{stored['dtype']}{stored['shape']}" if stored else "missing"
        if here != there:
            raise UserError(
                f"checkpoint {path} does not fit this run: {name} is {there} there and {here} here; "
                "resume with the configuration that the checkpoint was saved with"
            )


def abstract_params(_: dict[str, Any], leaves: dict[str, Leaf]) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    """{"params": the stored parameters as ShapeDtypeStructs}, from a checkpoint's own description."""
    params = {}
    for name, leaf in leaves.items():
        top, _slash, rest = name.partition("/")
        if top != "params":
            continue
        dtype = jnp.dtype(leaf["dtype"])
        if jax.dtypes.canonicalize_dtype(dtype) != dtype:
            raise UserError(f"the checkpoint holds {dtype} parameters: set the environment variable JAX_ENABLE_X64=1")
        params[rest] = jax.ShapeDtypeStruct(tuple(leaf["shape"]), dtype)
    return {"params": params}


@contextmanager
def _damage() -> Iterator[None]:
    """Turns whatever reading bad files can raise into Damaged; lets pass what says nothing about the files."""
    try:
        yield
    except (Damaged, UserError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        raise Damaged(os_reason(error) or one_line(error)) from error


def _open_record(record: dict[str, Any], step: int) -> tuple[dict[str, Any], dict[str, Leaf]]:
    """The caller's meta and the leaves, from what `make_record` made."""
    meta = dict(record)
    integrity = meta.pop("integrity")
    if integrity["sha256"] != _digest({**meta, "leaves": integrity["leaves"]}):
        raise Damaged("its meta is not what was saved")
    if meta["step"] != step:
        raise Damaged(f"it holds step {meta['step']}")
    return meta, integrity["leaves"]


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _placed(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
