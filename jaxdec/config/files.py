"""Files that appear whole or not at all: written under a temporary name, and renamed when they are complete."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def beside(path: Path) -> Path:
    """A name in the same folder that no other process uses. Not `tempfile`: only the owner could read its files."""
    return path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which takes the place of `path` when the block ends without an error. After an
    error nothing is left of it, and `path` is what it was. Raises OSError where the disk is full or read-only."""
    temporary = beside(Path(path))
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes one JSON object, whole or not at all."""
    write_text(path, json.dumps(values, indent=2) + "\n")
