"""A file that is being downloaded: it lies beside its place under another name, and moves there once it is whole.

What has come is kept when the download breaks off, so that the next one goes on from there. Of two processes that
download the same file one works and the other waits for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from jaxdec.errors import UserError

WORTH_KEEPING = 2**20  # bytes: what is less is downloaded again


class PartialFile:
    """The first `length` bytes of a file, and their checksum. Raises UserError where the disk is full or read-only."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.path = place.with_name(f".{place.name}.part")
        self._new_folders = [folder for folder in (place.parent, *place.parent.parents) if not folder.exists()]
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._locked()
        except OSError as error:
            raise self._unwritable(error) from None
        self.length, self._digest = 0, hashlib.sha256()
        while block := self._file.read(2**20):
            self._digest.update(block)
            self.length += len(block)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, block: bytes) -> None:
        try:
            self._file.write(block)
        except OSError as error:
            raise self._unwritable(error) from None
        self._digest.update(block)
        self.length += len(block)

    def restart(self) -> None:
        """Forgets what has come."""
        self._file.seek(0)
        self._file.truncate()
        self.length, self._digest = 0, hashlib.sha256()

    def require_room(self, size: int) -> None:
        """UserError where the rest of a file of that size does not fit on the disk."""
        free, needed = shutil.disk_usage(self.place.parent).free, size - self.length
        if needed > free:
            raise UserError(
                f"{self.place} needs {needed / 1e6:,.0f} MB more, and its disk has {free / 1e6:,.0f} MB: free space "
                "there, or set JAXDEC_DATA_DIR to a folder on another disk"
            )

    def finish(self) -> None:
        """Puts the file in its place."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            os.replace(self.path, self.place)
        except OSError as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        """Leaves what is worth keeping, and else nothing, not even the folders that were made for it."""
        with suppress(OSError):
            self._file.flush()
        if not self.place.exists() and self.length < WORTH_KEEPING:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
                for folder in self._new_folders:
                    folder.rmdir()
        with suppress(OSError):
            self._file.close()

    def _locked(self) -> BinaryIO:
        """The open file, once no other process works on it."""
        while True:
            file = self.path.open("a+b")
            file.seek(0)
            try:
                import fcntl
            except ImportError:  # a system without it
                return file
            with suppress(OSError):  # a file system without it
                fcntl.flock(file, fcntl.LOCK_EX)
            if self.place.exists() or self._is_there(file):
                return file
            file.close()  # the other one has given up and removed it

    def _is_there(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"the data file {self.place} cannot be written ({error.strerror}): free space there or choose another one"
        )
