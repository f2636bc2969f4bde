"""Reading the user's text, and writing files and folders so that they appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxdec.config.files import beside, whole_file
from jaxdec.errors import UserError


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Of a file of any size, which is not read into memory as a whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, what: str) -> bytes:
    """The content of a file; UserError when it is missing, a folder, empty or not readable."""
    if path.is_dir():
        raise UserError(f"{what} {path} is a folder: give the path of one UTF-8 text file")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist: check the path") from None
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read ({error.strerror}): check its permissions") from None
    if not content:
        raise UserError(f"{what} {path} is empty: give a file with text in it")
    return content


def decode(content: bytes, path: Path, what: str) -> str:
    """UTF-8 with line ends as they stand; UserError names the first byte that is not valid."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(what, path, content[error.start], error.start) from None


def not_utf8(what: str, path: Path, byte: int, offset: int) -> UserError:
    """The error of a file that is not text, or text in another encoding."""
    utf16 = " (it may be UTF-16)" if offset == 0 and byte in (0xFE, 0xFF) else ""
    return UserError(
        f"{what} {path} is not UTF-8: byte {byte:#04x} at offset {offset}{utf16}. Convert it, for example with "
        f"`iconv -f {'utf-16' if utf16 else 'latin1'} -t utf-8`"
    )


@contextmanager
def new_folder(folder: Path, what: str) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends without an error.

    Where another process has put `folder` there meanwhile, theirs stays. UserError where the disk is full or read-only.
    """
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = beside(folder)
        temporary.mkdir()
        yield temporary
        try:
            os.replace(temporary, folder)
        except OSError:
            if not folder.is_dir():
                raise
    except OSError as error:
        raise UserError(
            f"{what} {folder} cannot be written ({error.strerror}): free space there or choose another folder"
        ) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_whole(path: Path, content: bytes, what: str) -> None:
    """Writes a file through a temporary one beside it. UserError where the disk is full or read-only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"{what} {path} cannot be written ({error.strerror}): free space there or choose another folder"
        ) from None
