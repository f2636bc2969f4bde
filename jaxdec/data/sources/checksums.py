"""What a file's content comes to: its checksum, and for a text its characters; remembered for large files.

A file of the same path, size and time of change is taken to be the same, as `make` and `rsync` take it. One that was
changed within the last seconds is not remembered: it could change again and keep its time.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jaxdec.config.files import write_json
from jaxdec.data.folders import cache_folder
from jaxdec.data.sources.streams import Stream
from jaxdec.data.sources.text import Decoder

LARGE = 2**26  # bytes: below this a file is read again each time, in a fraction of a second
SETTLED = 10  # seconds since the last change


class Content(NamedTuple):
    """`sha256` of a text is that of its bytes before compression; `characters` None: the file is not a text."""

    sha256: str
    characters: int | None


def content_of(path: Path, *, is_text: bool) -> Content:
    """Reads the file, once. Raises UserError where it cannot be read, or should be text and is not."""
    stat = path.stat()
    key = f"{'text' if is_text else 'bytes'} {path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    if stat.st_size < LARGE:
        return _read(path, is_text)
    book = cache_folder() / "checksums.json"
    remembered: dict[str, list] = {}
    with suppress(OSError, ValueError):
        remembered = dict(json.loads(book.read_text(encoding="utf-8")))
    if key in remembered:
        return Content(*remembered[key])
    content = _read(path, is_text)
    if time.time() - stat.st_mtime > SETTLED:
        with suppress(OSError):
            book.parent.mkdir(parents=True, exist_ok=True)
            write_json(book, {**remembered, key: list(content)})
    return content


def _read(path: Path, is_text: bool) -> Content:
    digest = hashlib.sha256()
    if not is_text:
        with path.open("rb") as file:
            return Content(hashlib.file_digest(file, "sha256").hexdigest(), None)
    characters, decoder = 0, Decoder(path, 0)
    with Stream(path) as stream:
        for block in stream.blocks():
            digest.update(block)
            characters += len(decoder.decode(block))
    characters += len(decoder.decode(b"", final=True))
    return Content(digest.hexdigest(), characters)
