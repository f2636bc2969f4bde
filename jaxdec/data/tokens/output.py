"""The ids of one split on their way to disk: appended, cut back to an earlier state, and completed to a shard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from jaxdec.data.tokens.file import HEADER, finish


class Output:
    """The ids of a split, behind the place of the header, and the starts of its documents in a file of their own."""

    def __init__(self, path: Path, starts: Path, dtype: np.dtype) -> None:
        self.path, self.starts, self.dtype = path, starts, dtype
        for each in (path, starts):
            each.touch()
        self._ids, self._starts = path.open("r+b"), starts.open("r+b")
        self.tokens = self.documents = 0

    def has(self, tokens: int, documents: int) -> bool:
        ids = self.path.stat().st_size >= HEADER + tokens * self.dtype.itemsize
        return ids and self.starts.stat().st_size >= 8 * documents

    def cut(self, tokens: int, documents: int) -> None:
        """Leaves these and drops the rest. Before HEADER the file has zeros."""
        for file, size in ((self._ids, HEADER + tokens * self.dtype.itemsize), (self._starts, 8 * documents)):
            file.truncate(size)
            file.seek(size)
        self.tokens, self.documents = tokens, documents

    def append(self, ids: np.ndarray, starts: np.ndarray) -> None:
        """`starts`: in `ids`."""
        self._starts.write((starts + self.tokens).astype("<i8").tobytes())
        self._ids.write(ids.astype(self.dtype, copy=False).tobytes())
        self.tokens += len(ids)
        self.documents += len(starts)

    def sync(self) -> None:
        for file in (self._ids, self._starts):
            file.flush()
            os.fsync(file.fileno())

    def finish(self, boundary: int | None, about: Mapping[str, str]) -> None:
        """Ends the last document, and completes the file."""
        if boundary is not None:
            self.append(np.array([boundary], self.dtype), np.zeros(0, np.int64))
        self.sync()
        finish(self.path, self.dtype, self.starts, about)

    def close(self) -> None:
        for file in (self._ids, self._starts):
            with suppress(OSError):  # of what could not be written before either
                file.close()
