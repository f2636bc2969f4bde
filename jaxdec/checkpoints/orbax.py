"""orbax, imported late and kept quiet, and the reasons of its errors in one line."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
# The codes an absl status prints before its message: https://abseil.io/docs/cpp/guides/status-codes
ABSL_STATUS = re.compile(
    "(CANCELLED|UNKNOWN|INVALID_ARGUMENT|DEADLINE_EXCEEDED|NOT_FOUND|ALREADY_EXISTS|PERMISSION_DENIED"
    "|RESOURCE_EXHAUSTED|FAILED_PRECONDITION|ABORTED|OUT_OF_RANGE|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS"
    "|UNAUTHENTICATED): "
)


@cache
def orbax() -> Any:
    """orbax.checkpoint, imported when first needed: it takes a third of a second that a start need not pay.

    orbax logs a traceback for every error that it also raises; and when several reads or writes fail at once it raises
    the first and leaves the rest to Python's and asyncio's last resorts, which print them. The error raised becomes one
    line for the user, so these echoes are dropped, and nothing else is.
    """
    import orbax.checkpoint

    inside = str(Path(orbax.checkpoint.__file__).parent)
    report = sys.unraisablehook

    def is_orbax(frames: Iterable[FrameType]) -> bool:
        return any(frame.f_code.co_filename.startswith(inside) for frame in frames)

    def is_echo(error: BaseException | None, trace: TracebackType | None) -> bool:
        links = _chain(error) if error else []
        traces = [frame for link in links for frame, _ in traceback.walk_tb(link.__traceback__ or trace)]
        # What tensorstore's threads leave behind was never raised in Python and has no frames; its text varies, but
        # begins with the name of an absl status. orbax has closed the event loop that should have told of it.
        left_behind = not traces and ABSL_STATUS.match(str(error))
        return is_orbax(traces) or bool(left_behind) or str(error) == "Event loop is closed"

    def hook(unraisable: Any) -> None:
        if not is_echo(unraisable.exc_value, unraisable.exc_traceback):
            report(unraisable)

    logging.getLogger("absl").addFilter(lambda _: not is_orbax(frame for frame, _ in traceback.walk_stack(None)))
    logging.getLogger("asyncio").addFilter(lambda record: not (record.exc_info and is_echo(*record.exc_info[1:])))
    sys.unraisablehook = hook
    return orbax.checkpoint


def os_reason(error: BaseException) -> str | None:
    """What the operating system said, from anywhere in the chain of `error`: "No space left on device"; else None."""
    for link in _chain(error):
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        # tensorstore, which writes the arrays, reports as text, in forms that depend on which thread failed first:
        # "...: File too large [os_error_code='27']", "...: File too large; while ..."
        if found := re.search(r"([^:\[\]]+) \[os_error_code", str(link)):
            return found[1].strip()
        if told := [reason for reason in map(os.strerror, REFUSALS) if reason in str(link)]:
            return told[0]
    return None


def one_line(error: BaseException) -> str:
    """The kind of `error` and its text, cut in the middle: tensorstore names the array first and the cause last."""
    text = re.sub(r" \[\w+='.*", "", str(error))  # it ends with a page of its settings
    text = f"{type(error).__name__}: {' '.join(text.split())}"
    return text if len(text) <= 200 else f"{text[:100]} ... {text[-95:]}"


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links
