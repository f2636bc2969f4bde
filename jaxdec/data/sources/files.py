"""The files that a path stands for: itself, or all those in a folder, in the order of their names."""

from __future__ import annotations

import os
from pathlib import Path

from jaxdec.errors import UserError


def files_of(path: Path) -> list[Path]:
    """A file as it is; of a folder all files with something in them, those of inner folders too, sorted by their paths
    in it. What begins with a dot is left out. Raises UserError where nothing is left."""
    if not path.is_dir():
        return [path]

    def unreadable(error: OSError) -> None:
        raise UserError(f"the folder {error.filename} cannot be read ({error.strerror}): check its permissions")

    found = []
    for folder, inner, names in os.walk(path, onerror=unreadable):
        inner[:] = [name for name in inner if not name.startswith(".")]
        files = (Path(folder) / name for name in names if not name.startswith("."))
        found += [file for file in files if file.is_file() and file.stat().st_size]
    if not found:
        raise UserError(f"the corpus {path} is a folder without a file that has text in it: give another one")
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())
