"""Checkpoints: written in the background and all or nothing, checked before use, restored on any number of devices.

One folder a step. orbax writes into a temporary folder and renames it when every byte is there, so a process killed at
any moment leaves complete checkpoints and at most one that is visibly unfinished. orbax does not notice a changed byte
in array data; therefore the fingerprint of every array is saved too, and compared after every restore.
docs/checkpoints.md lists the guarantees.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxdec.checkpoints.files import (
    UNFINISHED,
    Damaged,
    Wanted,
    abstract_params,
    complete_steps,
    make_record,
    read,
    remove,
    unfinished,
)
from jaxdec.checkpoints.fingerprint import Leaf, fingerprints
from jaxdec.checkpoints.orbax import one_line, orbax, os_reason
from jaxdec.config.versions import versions
from jaxdec.errors import TrainingError, UserError

# What decides what a run computes, as a checkpoint records it.
LIBRARIES = ("jaxdec", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
Warn = Callable[[str], None]


def print_warning(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


class Checkpoints:
    """The checkpoints of one run, of which the `keep` newest stay. Only the run itself may hold one: it moves files.

    Cheap to make: nothing is read, written or imported before the first save or restore.
    """

    def __init__(self, folder: Path, keep: int, warn: Warn = print_warning) -> None:
        self.folder = Path(folder).absolute()
        self.keep = keep
        self._warn = warn
        self._manager: Any = None  # orbax's, made by the first save
        self._saving: int | None = None  # the step whose save may still be under way
        self._own: set[int] = set()  # the steps that this object has saved or restored

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, ascending. Whether one is damaged shows when it is restored."""
        return complete_steps(self.folder)

    def save(self, step: int, state: Any, meta: dict[str, Any]) -> None:
        """Starts to save `state`, a tree of jax arrays, and `meta`, made of what JSON can hold.

        Returns when the arrays are copied: the caller may donate them at once. "step" and "versions" are added to
        `meta`. Does nothing when this object has saved or restored that step already; any other checkpoint at or after
        `step` is set aside. Raises UserError when the folder cannot be written, and so for the save before this one.
        """
        self.wait()
        if step in self._own and step in self.steps():
            return
        record = make_record({"step": step, "versions": versions(LIBRARIES), **meta}, fingerprints(state))
        self._saving = step
        try:
            self._remove_unfinished()
            for later in [known for known in self.steps() if known >= step]:
                moved = self._set_aside(later, "superseded")
                self._warn(f"checkpoint {later} in {self.folder} is not older than step {step}, saved now: {moved}")
            args = orbax().args
            items = args.Composite(state=args.StandardSave(state), meta=args.JsonSave(record))
            self._open_manager().save(step, args=items, force=True)
        except Exception as error:
            self._fail(error)

    def wait(self) -> None:
        """Blocks until the save under way, if any, is on disk. Raises UserError when it failed."""
        if self._saving is None:
            return
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:
            self._fail(error)
        self._own.add(self._saving)
        self._saving = None

    def close(self) -> None:
        """Waits as `wait` does, and ends orbax's threads."""
        try:
            self.wait()
        finally:
            manager, self._manager = self._manager, None
            if manager is not None:
                manager.close()

    def restore(
        self, abstract_state: Any, step: int | None = None, accept: Callable[[dict[str, Any]], None] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The state and the meta of the newest good checkpoint, or of `step`.

        abstract_state: a tree of ShapeDtypeStructs. Their shardings decide where the arrays go, whatever they were
            saved on; a struct without one goes to the first device.
        accept: called with the meta before any array is read; may raise UserError to refuse the checkpoint.
        An unfinished checkpoint is named through `warn` and removed; a damaged one is named and set aside.
        Raises UserError when there is no good one, or when the stored tree is another than `abstract_state`.
        """

        def wanted(meta: dict[str, Any], _: dict[str, Leaf]) -> Any:
            if accept is not None:
                accept(meta)
            return abstract_state

        self.wait()
        self._remove_unfinished()
        found, loaded, damaged = _newest_good(self.folder, step, wanted)
        for bad, reason in damaged.items():
            moved = self._set_aside(bad, "damaged")
            self._warn(f"checkpoint {bad} in {self.folder} is damaged ({reason}): {moved}; using checkpoint {found}")
        self._own.add(found)
        return loaded

    def _open_manager(self) -> Any:
        if self._manager is None:
            ocp = orbax()
            options = ocp.CheckpointManagerOptions(max_to_keep=self.keep, save_root_metadata=False)
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        return self._manager

    def _remove_unfinished(self) -> None:
        for step, path in unfinished(self.folder).items():
            if jax.process_index() == 0:
                shutil.rmtree(path, ignore_errors=True)
            self._warn(f"checkpoint {step} in {self.folder} is partial (its save was interrupted): removed")

    def _set_aside(self, step: int, why: str) -> str:
        """Renames a checkpoint so that its step can be saved again; returns what was done."""
        self._own.discard(step)
        target, number = self.folder / f"{step}.{why}", 1
        while target.exists():
            number += 1
            target = self.folder / f"{step}.{why}-{number}"
        _meet("jaxdec-checkpoint-renaming")
        outcome = f"moved to {target.name}"
        try:
            if jax.process_index() == 0:
                (self.folder / str(step)).rename(target)
        except OSError as error:
            outcome = f"left in place ({error.strerror})"
        _meet("jaxdec-checkpoint-renamed")
        if self._manager is not None:
            self._manager.reload()
        return outcome

    def _fail(self, error: Exception) -> None:
        """Ends a failed save: nothing of it stays on disk, and one line says what happened and what is left."""
        step, self._saving = self._saving, None
        manager, self._manager = self._manager, None  # every later call of it would raise this error again
        try:
            if manager is not None:
                manager.close()
        except Exception:  # the same error
            pass
        if jax.process_index() == 0:
            remove(self.folder / f"{step}{UNFINISHED}")
        left = self.steps()
        newest = f"the newest good checkpoint is {left[-1]}" if left else "there is no older checkpoint"
        reason = os_reason(error)
        line = f"checkpoint {step} could not be saved in {self.folder}: {reason or one_line(error)}; {newest}"
        if reason is None:
            raise TrainingError(line) from error
        raise UserError(f"{line}; make the folder writable or make room, then resume") from error


def restore_params(
    folder: Path, step: int | None = None, warn: Warn = print_warning
) -> tuple[dict[str, jax.Array], dict[str, Any]]:
    """The parameters, on the first device, and the meta of the newest good checkpoint, or of `step`.

    Raises UserError as `Checkpoints.restore` does.
    """
    state, meta = restore_wanted(folder, abstract_params, step, warn)
    return state["params"], meta


def restore_wanted(
    folder: Path, wanted: Wanted, step: int | None = None, warn: Warn = print_warning
) -> tuple[Any, dict[str, Any]]:
    """What `wanted` asks for, given the meta and the stored leaves, of the newest good checkpoint, or of `step`; and
    its meta.

    Reads the bytes of that alone and changes nothing in `folder`: it may run beside the training run.
    Raises UserError as `Checkpoints.restore` does.
    """
    folder = Path(folder).absolute()
    found, loaded, damaged = _newest_good(folder, step, wanted)
    for bad, reason in damaged.items():
        warn(f"checkpoint {bad} in {folder} is damaged ({reason}); using checkpoint {found}")
    for bad in unfinished(folder):
        if step is None and bad > found:
            why = "its save is under way or was interrupted"
            warn(f"checkpoint {bad} in {folder} is partial ({why}); using checkpoint {found}")
    return loaded


def _newest_good(
    folder: Path, step: int | None, wanted: Wanted
) -> tuple[int, tuple[Any, dict[str, Any]], dict[int, str]]:
    """The step read, its arrays and meta, and why each newer checkpoint was passed over."""
    damaged: dict[int, str] = {}
    while True:
        known = complete_steps(folder)
        if not known:
            raise UserError(f"there is no checkpoint in {folder}: give the folder of a run that has saved one")
        if step is not None and step not in known:
            raise UserError(f"there is no checkpoint {step} in {folder}: it has {', '.join(map(str, known))}")
        left = [other for other in reversed(known) if other not in damaged and step in (None, other)]
        if not left:
            bad = "; ".join(f"{other} is damaged ({reason})" for other, reason in damaged.items())
            rest = [str(other) for other in known if other not in damaged]
            hint = f"try one of {', '.join(rest)}" if rest else "start the run anew in another folder"
            raise UserError(f"no usable checkpoint in {folder}: {bad}; {hint}")
        path = folder / str(left[0])
        try:
            return left[0], read(path, wanted), damaged
        except Damaged as error:
            if path.is_dir():  # else the run that owns the folder has just replaced it by a newer one
                damaged[left[0]] = str(error)


def _meet(name: str) -> None:
    """Waits for the other processes of the job, so that none looks at a folder that another is about to rename."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)
