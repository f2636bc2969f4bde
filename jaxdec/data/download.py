"""Fetches one file from the first of its mirrors that has it, and keeps it only if the checksum fits."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

from jaxdec.data.files import sha256, write_whole
from jaxdec.errors import UserError

TIMEOUT = 20.0  # seconds without a byte, per mirror


def fetch(name: str, mirrors: tuple[str, ...], size: int, checksum: str, place: Path) -> bytes:
    """The content, written to `place` too. UserError says what failed at each mirror, and the three ways to get it."""
    failures = []
    for mirror in mirrors:
        try:
            content = _read(mirror, size)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{mirror}: {_reason(error)}")
            continue
        if sha256(content) == checksum:
            write_whole(place, content, "the data file")
            return content
        failures.append(f"{mirror}: another file (sha256 {sha256(content)[:12]}...)")
    raise UserError(
        f"the corpus {name} is not on this machine and could not be downloaded ({'; '.join(failures)}). "
        f"Three ways: run again with a connection; or put the file at {place} ($JAXDEC_DATA_DIR/{name}/{place.name}; "
        f"{size:,} bytes, sha256 {checksum}); or give a copy with --from-file PATH"
    )


def _read(mirror: str, size: int) -> bytes:
    with urllib.request.urlopen(mirror, timeout=TIMEOUT) as response:
        return response.read(size + 1)  # a longer file is the wrong one: its end is not needed to see that


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__
