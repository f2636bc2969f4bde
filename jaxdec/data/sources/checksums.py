"""What files come to: the checksum of each, and the characters of a text; remembered where there is much to read.

Files of the same paths, sizes and times of change are taken to be the same, as `make` and `rsync` take them. What was
changed within the last seconds is not remembered: it could change again and keep its time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jaxdec.config.files import write_json
from jaxdec.data.folders import cache_folder
from jaxdec.data.sources.streams import Stream
from jaxdec.data.sources.text import Decoder

LARGE = 2**26  # bytes in all: what is less is read again each time, in a fraction of a second
SETTLED = 10  # seconds since the last change
MOST = 1000  # entries that are remembered, the newest ones


class Content(NamedTuple):
    """`sha256` of a text is that of its bytes before compression; `characters` None: the files are not one text."""

    sha256: str
    characters: int | None


def content_of_text(path: Path) -> Content:
    """Of a text file. Raises UserError where it cannot be read, or is no text."""
    found = _remembered("text", [path])
    return Content(*found) if found is not None else _remember("text", [path], _read_text(path))


def content_of(files: Sequence[Path]) -> Content:
    """Of files as they are, one after the other."""
    if (found := _remembered("files", files)) is not None:
        return Content(*found)
    checksums = []
    for path in files:
        with path.open("rb") as file:
            checksums.append(hashlib.file_digest(file, "sha256").hexdigest())
    whole = checksums[0] if len(files) == 1 else hashlib.sha256(json.dumps(checksums).encode()).hexdigest()
    return _remember("files", files, Content(whole, None))


def _read_text(path: Path) -> Content:
    digest, characters, decoder = hashlib.sha256(), 0, Decoder(path, 0)
    with Stream(path) as stream:
        for block in stream.blocks():
            digest.update(block)
            characters += len(decoder.decode(block))
    characters += len(decoder.decode(b"", final=True))
    return Content(digest.hexdigest(), characters)


def _key(kind: str, files: Sequence[Path]) -> str | None:
    """The entry of these files; None where they are not worth remembering, or too new."""
    stats = [path.stat() for path in files]
    if sum(stat.st_size for stat in stats) < LARGE or time.time() - max(stat.st_mtime for stat in stats) < SETTLED:
        return None
    identity = [[str(path.resolve()), stat.st_size, stat.st_mtime_ns] for path, stat in zip(files, stats, strict=True)]
    return hashlib.sha256(json.dumps([kind, identity]).encode()).hexdigest()


def _book() -> dict[str, list]:
    with suppress(OSError, ValueError):
        return dict(json.loads((cache_folder() / "checksums.json").read_text(encoding="utf-8")))
    return {}


def _remembered(kind: str, files: Sequence[Path]) -> list | None:
    key = _key(kind, files)
    return None if key is None else _book().get(key)


def _remember(kind: str, files: Sequence[Path], content: Content) -> Content:
    if (key := _key(kind, files)) is not None:
        entries = [*_book().items(), (key, list(content))][-MOST:]
        with suppress(OSError):
            cache_folder().mkdir(parents=True, exist_ok=True)
            write_json(cache_folder() / "checksums.json", dict(entries))
    return content
