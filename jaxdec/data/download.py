"""Fetches one file from the first of its mirrors that has it, and keeps it only if the checksum fits.

It is streamed to disk. A mirror that is busy or breaks off is tried again, from where it stopped if it can do that
(RFC 9110, sections 10.2.3 and 14).
"""

from __future__ import annotations

import email.utils
import http.client
import random
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxdec.data.partial import WORTH_KEEPING, PartialFile
from jaxdec.data.progress import byte_progress
from jaxdec.errors import UserError

TIMEOUT = 20.0  # seconds without a byte
TRIES = 4  # of a mirror, one after the other, that bring less than WORTH_KEEPING
BACKOFF = 1.0  # seconds before the second try, about; twice as many before each further one
LONGEST_WAIT = 60.0  # seconds; a mirror that asks for more is given up
BUSY = {408, 425, 429, 500, 502, 503, 504}  # answers that may be others in a moment
LARGEST = 2**36  # bytes, of a file whose size is not known


class _Failed(Exception):
    """This mirror does not give the file."""


class _Broken(Exception):
    """It may give it if asked again. `wait`: the seconds that it asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def fetch(
    name: str,
    mirrors: tuple[str, ...],
    size: int | None,
    checksum: str,
    place: Path,
    *,
    quiet: bool = False,
    ways: str | None = None,
) -> None:
    """Puts the file at `place`. `size` None: not known; `quiet`: without a progress bar. UserError says what failed at
    each mirror, and `ways` to get the file; None: the three that there are for a file of a corpus."""
    part = PartialFile(place)
    try:
        if place.exists():  # another process has just got it
            return
        failures = []
        for mirror in mirrors:
            reason = _from_mirror("" if quiet else name, mirror, size, checksum, part)
            if reason is None:
                part.finish()
                return
            failures.append(f"{mirror}: {reason}")
    finally:
        part.close()
    kept = f". The {part.length:,} bytes that came are kept" if part.length >= WORTH_KEEPING else ""
    if ways is None:
        length = f"{size:,} bytes, " if size is not None else ""
        ways = (
            f"Three ways: run again with a connection; or put the file at {place} ($JAXDEC_DATA_DIR/{name}/"
            f"{place.name}; {length}sha256 {checksum}); or give a copy with --from-file PATH"
        )
    raise UserError(
        f"the corpus {name} is not on this machine and could not be downloaded ({'; '.join(failures)}){kept}. {ways}"
    )


def _from_mirror(shown_as: str, mirror: str, size: int | None, checksum: str, part: PartialFile) -> str | None:
    """None once the file is whole and right; else what is wrong with the mirror. `shown_as`: the bar's name, if any."""
    while True:
        others = part.length  # bytes that came from another mirror, or at another time
        try:
            with byte_progress(shown_as, size, part.length) as show:
                _patiently(mirror, size, part, show)
        except _Failed as failure:
            return str(failure)
        if part.sha256 == checksum:
            return None
        found, length = part.sha256, part.length
        part.restart()
        if not others:
            wrong = f", {length:,} bytes instead of {size:,}" if size not in (None, length) else ""
            return f"another file (sha256 {found[:12]}...{wrong})"


def _patiently(mirror: str, size: int | None, part: PartialFile, show: Callable[[int], None]) -> None:
    """Asks the mirror until the file is whole, or it has failed several times in a row. Raises _Failed."""
    tried = 0
    while True:
        before = part.length
        try:
            return _ask(mirror, size, part, show)
        except _Broken as broken:
            tried = 1 if part.length - before >= WORTH_KEEPING else tried + 1
            if tried >= TRIES:
                raise _Failed(f"{broken} ({tried} times)") from None
            wait = BACKOFF * 2 ** (tried - 1) * random.uniform(0.5, 1.5) if broken.wait is None else broken.wait
            if wait > LONGEST_WAIT:
                raise _Failed(f"{broken}, and asks to wait {wait:,.0f} seconds") from None
            time.sleep(wait)


def _ask(mirror: str, size: int | None, part: PartialFile, show: Callable[[int], None]) -> None:
    """One request for what is missing. Raises _Failed or _Broken unless the file is whole then."""
    if part.length and part.length == size:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "jaxdec"}
    if part.length:
        headers["Range"] = f"bytes={part.length}-"
    try:
        with urllib.request.urlopen(urllib.request.Request(mirror, headers=headers), timeout=TIMEOUT) as response:
            _receive(response, size, part, show)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and part.length:  # it has no such bytes: what we have is not of its file
            part.restart()
            raise _Broken("the file is shorter there", wait=0.0) from None
        reason = f"{error.reason} ({error.code})"
        if error.code in BUSY:
            raise _Broken(reason, _asked_to_wait(error.headers)) from None
        raise _Failed(reason) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise (_Broken if _may_pass(error) else _Failed)(_reason(error)) from None


def _may_pass(error: Exception) -> bool:
    """Whether another try may succeed: the connection was lost, and neither refused nor to a name that is unknown."""
    error = getattr(error, "reason", error)
    if isinstance(error, ssl.SSLError):
        return not isinstance(error, ssl.SSLCertVerificationError)
    lost = (TimeoutError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError, http.client.IncompleteRead)
    return isinstance(error, lost)


def _receive(response: Any, size: int | None, part: PartialFile, show: Callable[[int], None]) -> None:
    """Adds what an answer brings to the part."""
    if part.length:
        place = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if response.status != 206 or place is None or int(place[1]) != part.length:
            part.restart()
        if response.status == 206 and not part.length:
            raise _Broken("it answers with another part of the file than was asked for")
    announced = response.headers.get("Content-Length")
    end = part.length + int(announced) if announced and announced.isdigit() else size
    if size is not None and end is not None and end > size:  # not worth reading
        raise _Failed(f"another file ({end:,} bytes instead of {size:,})")
    if size is not None:
        part.require_room(size)
    most = LARGEST if size is None else size
    while block := response.read(2**18):
        part.write(block)
        show(part.length)
        if part.length > most:
            part.restart()
            raise _Failed(f"another file (more than {most:,} bytes)")
    if end is not None and part.length < end:
        raise _Broken(f"the connection broke off after {part.length:,} of {end:,} bytes")


def _asked_to_wait(headers: Any) -> float | None:
    """The seconds of a Retry-After, which may be a number or a date."""
    value = headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__
