"""The bytes of a file, unpacked where it ends in .gz or .zst, read in order and never all at once."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from jaxdec.data.sources.zstd import require_whole_frames
from jaxdec.errors import UserError, needs_extra

BLOCK = 2**20  # bytes read at a time
COMPRESSED = (".gz", ".tgz", ".zst")


class Stream:
    """A file's bytes before compression. Raises UserError where it cannot be read, is damaged or cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _named(path):
            self._file = path.open("rb")
        try:
            self._reader: Any = _unpacked(self._file, path)
        except BaseException:
            self._file.close()
            raise

    def read(self, size: int = BLOCK) -> bytes:
        """Up to `size` bytes; none at the end."""
        with _named(self.path):
            return self._reader.read(size)

    def skip(self, count: int) -> None:
        """Goes on `count` bytes later."""
        if self.path.suffix.lower() not in COMPRESSED:
            self._reader.seek(count, 1)
            return
        while count > 0 and (block := self.read(min(count, BLOCK))):
            count -= len(block)

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        while block := self.read(size):
            yield block

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _unpacked(file: BinaryIO, path: Path) -> Any:
    """A reader of what the file was before compression."""
    match path.suffix.lower():
        case ".gz" | ".tgz":
            return gzip.GzipFile(fileobj=file)
        case ".zst":
            with _named(path):
                require_whole_frames(file, path)
            return _zstandard().ZstdDecompressor().stream_reader(file, read_across_frames=True)
        case _:
            return file


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What goes wrong inside names the file."""
    try:
        yield
    except EOFError:
        raise UserError(f"the file {path} is cut off: its gzip data stop in the middle. Get it again, whole") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"the file {path} is damaged, or no gzip file ({error}). Get it again") from None
    except FileNotFoundError:
        raise UserError(f"the file {path} does not exist: check the path") from None
    except OSError as error:
        raise UserError(f"the file {path} cannot be read ({error.strerror}): check its permissions") from None
    except Exception as error:
        if type(error).__name__ != "ZstdError":  # its class is known only where zstandard is installed
            raise
        raise UserError(f"the file {path} is damaged, or no zstd file ({error}). Get it again") from None


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise needs_extra("files that end in .zst need zstandard", "data") from None
    return zstandard
