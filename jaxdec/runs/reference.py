"""reference.npz of a run: what its stage measured of the first parameters, before the first step changed them.

Written once, as a whole, before the first checkpoint. Each checkpoint names its digest, so that a resumed run goes on
with these numbers or not at all.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxdec.config.files import whole_file
from jaxdec.errors import UserError

FILE, DATA = "reference.npz", "data"
ReferenceValues = Mapping[str, np.ndarray]


def write_reference(run_dir: Path, values: ReferenceValues, data: str) -> None:
    """Writes the values, which were measured on the data of this hash."""
    try:
        with whole_file(run_dir / FILE) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **{DATA: np.array(data)}, **values)
    except OSError as error:
        raise UserError(f"cannot write {run_dir / FILE}: {error.strerror}; make room there") from None


def read_reference(run_dir: Path) -> tuple[ReferenceValues, str] | None:
    """The values and the hash of their data; None where there is no such file. Raises UserError for a damaged one."""
    path = run_dir / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        return values, str(values.pop(DATA))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or start a new run") from None


def digest(values: ReferenceValues) -> str:
    """sha256 of names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name, value in sorted(values.items()):
        found.update(f"{name} {value.dtype} {value.shape}\n".encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def require_reference(run_dir: Path, expected: str | None) -> ReferenceValues:
    """The values that the checkpoints of a run name by their digest. Raises UserError where they are not there."""
    found = read_reference(run_dir)
    if found is None or digest(found[0]) != expected:
        state = "is missing" if found is None else "is not the one that the checkpoints were trained with"
        raise UserError(
            f"{run_dir / FILE} {state}: it holds what the reference said before training, which cannot be measured "
            "again from trained parameters. Restore it, or start a new run"
        )
    return found[0]
