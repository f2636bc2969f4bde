"""One writer per run directory: a lock on `RUN/run.lock`, which also says who holds it.

The operating system's lock (flock) decides wherever there is one: it ends with its process, so `kill -9` leaves nothing
to clean up but the file. The text in the file decides where flock cannot: on file systems and systems without it, and
for processes on other hosts, which a network file system need not show us. Reading commands ask for no lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from jaxdec.errors import UserError

LOCK = "run.lock"
WINDOWS_BYTE = 1 << 20
PATIENCE = 25  # looks at a lock that names no process yet


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. `started`: when the process started, as its system counts; it tells a process from a later one
    that was given the same number. None where that cannot be known."""

    host: str
    pid: int
    started: str | None
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    def has_ended(self) -> bool:
        """Whether this process is known to have ended; False for another host, whose processes cannot be seen."""
        if self.host != socket.gethostname():
            return False
        return not _is_alive(self.pid) or (self.started is not None and _start_of(self.pid) not in (None, self.started))


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Holds the lock of `run_dir`, which is made when it does not exist, and taken away again when it stays empty.

    Raises UserError when another process holds the lock or the folder cannot be written. The lock of a process that has
    ended on this host is taken over.
    """
    run_dir = Path(run_dir)
    path, made = run_dir / LOCK, [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        file = _acquire(path)
    except OSError as error:
        raise UserError(f"cannot write the run directory {run_dir}: {error.strerror}; choose another place") from None
    try:
        yield
    finally:
        _release(path, file)
        with contextlib.suppress(OSError):  # not empty: a run
            for folder in made:
                folder.rmdir()


def require_unlocked(run_dir: Path) -> None:
    """Raises UserError when a process that may be alive holds the lock of `run_dir`. Changes nothing."""
    path = Path(run_dir) / LOCK
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return
    try:
        _require_free(path, file, held=not _flock(file))
    finally:
        os.close(file)


def _acquire(path: Path) -> int:
    """The open lock file, locked, with this process's name in it."""
    for _ in range(PATIENCE):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            held = not _flock(file)
            removed = not held and not _is_still(path, file)  # by a holder that ended between our two calls
            nameless = held and _read(file) is None  # taken a moment ago, or looked at by `require_unlocked`
            if not removed and not nameless:
                _require_free(path, file, held)
                _write(file)
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        time.sleep(0.02)
    raise UserError(f"{path.parent} is being written by another process: wait for it, or stop it")


def _write(file: int) -> None:
    me = Holder(socket.gethostname(), os.getpid(), _start_of(os.getpid()), time.strftime("%Y-%m-%d %H:%M:%S"))
    os.truncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, (json.dumps(asdict(me)) + "\n").encode())


def _release(path: Path, file: int) -> None:
    """Removes the lock file while the lock is still held, so that a new one of another process is not removed."""
    if os.name == "nt":  # an open file cannot be removed there
        os.close(file)
    with contextlib.suppress(OSError):
        path.unlink()
    if os.name != "nt":
        os.close(file)


def _require_free(path: Path, file: int, held: bool) -> None:
    holder = _read(file)
    if held or (holder is not None and not holder.has_ended()):
        who = "another process" if holder is None else str(holder)
        elsewhere = holder is not None and holder.host != socket.gethostname()
        mend = f"when that process has ended, remove {path}" if elsewhere else "wait for it, or stop it"
        raise UserError(f"{path.parent} is being written by {who}: {mend}")


def _flock(file: int) -> bool:
    """Whether the system's lock was free, and is now ours; True also on a file system that has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, WINDOWS_BYTE, os.SEEK_SET)  # a locked byte cannot be read: one behind the text
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass
    return True


def _is_still(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _read(file: int) -> Holder | None:
    """The holder named in an open lock file; None where none is, as when a kill came before its name was written."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        return Holder(**json.loads(os.read(file, 4096)))
    except (ValueError, TypeError):
        return None


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # its locks tell, and os.kill would end the process
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _start_of(pid: int) -> str | None:
    """When a process of this system started: the boot and the clock ticks since, from Linux's /proc; None elsewhere."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name of the program, in parentheses, may hold spaces; the start is the 22nd field of the line.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{boot} {fields[19]}"
    except (OSError, IndexError):
        return None
