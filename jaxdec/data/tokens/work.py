"""A folder to make something in that takes long: kept when the process is killed, so that the next one goes on with it,
and locked, so that two processes do not do the same work at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from jaxdec.config.files import beside

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextmanager
def work_folder(folder: Path, on_wait: Callable[[], None]) -> Iterator[Path | None]:
    """A hidden folder beside `folder`, the same for all processes; None where another process has made `folder` while
    this one waited for it. The system drops the lock of a process that is killed.

    Where files cannot be locked it is a folder of this process alone, which is gone afterwards. Raises OSError.
    """
    place = folder.parent / f".{folder.name}.work"
    with _locked(place, on_wait) as locked:
        if not locked:
            private = beside(folder)
            private.mkdir(parents=True)
            try:
                yield private
            finally:
                shutil.rmtree(private, ignore_errors=True)
        elif folder.is_dir():
            shutil.rmtree(place, ignore_errors=True)
            yield None
        else:
            yield place


def forget(work: Path) -> None:
    """Removes the folder, and the two above it where they are empty now."""
    shutil.rmtree(work, ignore_errors=True)
    with suppress(OSError):
        work.parent.rmdir()
        work.parent.parent.rmdir()


@contextmanager
def _locked(place: Path, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Makes the folder and locks it: False where the file system cannot."""
    while True:
        place.mkdir(parents=True, exist_ok=True)
        try:
            file = (place / "lock").open("w")
        except FileNotFoundError:  # another process has just removed the folder
            continue
        with file:
            locked = _lock(file, on_wait)
            if not locked or _is_at(file, place / "lock"):
                yield locked
                return


def _lock(file: IO[str], on_wait: Callable[[], None]) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:  # some network file systems
        return False
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether the open file is still the one at `path`: who held the lock may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
