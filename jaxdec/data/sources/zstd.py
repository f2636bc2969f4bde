"""Whether a .zst file is whole: zstandard's reader takes the end of a cut file for the end of its text.

Frames and blocks are walked by their headers, without unpacking anything (RFC 8878, section 3.1).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from jaxdec.errors import UserError

FRAME = 0xFD2FB528
SKIPPABLE = range(0x184D2A50, 0x184D2A60)


def require_whole_frames(file: BinaryIO, path: Path) -> None:
    """Leaves the file at its beginning. UserError where its last frame is cut off, or something else stands there."""
    size = file.seek(0, 2)
    place = 0
    while place < size:
        file.seek(place)
        magic = _number(file, 4, path)
        if magic in SKIPPABLE:
            place += 8 + _number(file, 4, path)
        elif magic == FRAME:
            place = _end_of_frame(file, path)
        else:
            raise UserError(f"the file {path} is damaged, or no zstd file: no frame begins at byte {place}")
    if place > size:
        raise _cut(path)
    file.seek(0)


def _end_of_frame(file: BinaryIO, path: Path) -> int:
    """The byte behind the frame whose magic number was just read."""
    descriptor = _number(file, 1, path)
    single_segment = bool(descriptor & 0x20)
    content_size = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    dictionary_id = (0, 1, 2, 4)[descriptor & 3]
    place = file.tell() + (0 if single_segment else 1) + dictionary_id + content_size
    last = False
    while not last:
        file.seek(place)
        header = _number(file, 3, path)
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        place += 3 + (1 if kind == 1 else size)  # kind 1: one byte, repeated
    return place + (4 if descriptor & 4 else 0)  # the checksum


def _number(file: BinaryIO, count: int, path: Path) -> int:
    read = file.read(count)
    if len(read) < count:
        raise _cut(path)
    return int.from_bytes(read, "little")


def _cut(path: Path) -> UserError:
    return UserError(f"the file {path} is cut off: its last zstd frame is not whole. Get it again")
