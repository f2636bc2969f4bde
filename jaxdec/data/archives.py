"""Unpacks .zip, .tar, .tar.gz and .tar.zst of any origin: nothing is written outside the folder, nor without bound.

A member that is refused stops it all, and nothing stays: an archive with one such member is not what it was taken for.
"""

from __future__ import annotations

import lzma
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Self, cast

from jaxdec.data.files import new_folder
from jaxdec.data.sources.streams import Stream
from jaxdec.errors import UserError

BLOCK = 2**18
NAME = 255  # bytes of one part of a path, as most file systems have it
HEADER = 2**20  # bytes of a tar member's extra header, which tarfile reads into memory as a whole


@dataclass(frozen=True)
class Limits:
    """What an archive may come to. The first `free` bytes may be packed ever so well."""

    bytes: int = 2**34
    members: int = 100_000
    ratio: int = 200
    free: int = 2**24


class Member(NamedTuple):
    """`file` None: a folder. `kind`: what else it is, where it is neither."""

    name: str
    file: IO[bytes] | None
    kind: str | None


def unpack(archive: Path, folder: Path, limits: Limits = Limits()) -> None:
    """Makes `folder` of what is in the archive. Raises UserError that names the member and the reason, or the archive
    that is damaged; then there is no folder."""
    packed = archive.stat().st_size
    with new_folder(folder, "the folder") as temporary, _readable(archive):
        seen: dict[str, bool] = {}  # the names so far as file systems may compare them, and whether each is a file
        total = 0
        for count, member in enumerate(_members(archive), start=1):
            if count > limits.members:
                raise UserError(f"the archive {archive} has more than {limits.members:,} members: it is not unpacked")
            parts = _parts(archive, member)
            _require_new(archive, member, parts, seen)
            target = temporary.joinpath(*parts)
            if member.file is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                while block := member.file.read(BLOCK):
                    total += len(block)
                    if total > limits.bytes:
                        raise _refused(archive, member, f"it would bring more than {limits.bytes:,} bytes in all")
                    if total > limits.free and total > limits.ratio * packed:
                        raise _refused(archive, member, f"its data grow more than {limits.ratio} times, as bombs do")
                    file.write(block)


def _parts(archive: Path, member: Member) -> tuple[str, ...]:
    """The parts of a member's path. UserError where it leads anywhere else, or the member is no plain file."""
    name = member.name
    if member.kind is not None:
        raise _refused(archive, member, f"it is {member.kind}")
    if not name or "\0" in name:
        raise _refused(archive, member, "it has no name that a file can have")
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        raise _refused(archive, member, "its path is absolute")
    parts = PurePosixPath(name).parts
    if ".." in parts or "\\" in name:
        raise _refused(archive, member, "its path leads out of the folder" if ".." in name else "its path has a \\")
    if any(len(part.encode("utf-8", "surrogateescape")) > NAME for part in parts):
        raise _refused(archive, member, f"its name has more than {NAME} bytes")
    return parts


def _require_new(archive: Path, member: Member, parts: tuple[str, ...], seen: dict[str, bool]) -> None:
    """UserError for a file where a file or folder is already, or that lies below a file."""
    names = [unicodedata.normalize("NFC", "/".join(parts[:end])).casefold() for end in range(1, len(parts) + 1)]
    is_file = member.file is not None
    for index, name in enumerate(names):
        last = index == len(names) - 1
        if seen.get(name) or (last and is_file and name in seen):
            raise _refused(archive, member, "another member has its name already")
        seen[name] = last and is_file


def _members(archive: Path) -> Iterator[Member]:
    """Every member in turn; its file is open until the next one is asked for."""
    name = archive.name.lower()
    if name.endswith(".zip"):
        yield from _of_zip(archive)
    elif name.endswith((".tar", ".tar.gz", ".tgz", ".tar.zst")):
        yield from _of_tar(archive)
    else:
        raise UserError(f"{archive} is no archive that can be unpacked: .zip, .tar, .tar.gz and .tar.zst can")


def _of_zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # of a zip made on Unix; 0 elsewhere
            if info.is_dir():
                yield Member(info.filename, None, None)
            elif kind not in (0, stat.S_IFREG):
                yield Member(info.filename, None, "a link" if kind == stat.S_IFLNK else "a device")
            elif info.flag_bits & 1:
                yield Member(info.filename, None, "encrypted")
            else:
                with opened.open(info) as file:
                    yield Member(info.filename, file, None)


def _of_tar(archive: Path) -> Iterator[Member]:
    with Stream(archive) as stream, tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|", tarinfo=_Info) as opened:
        for info in opened:
            if info.isdir():
                yield Member(info.name, None, None)
            elif not info.isreg():
                kind = "a link" if info.issym() or info.islnk() else "a device or a pipe"
                yield Member(info.name, None, kind)
            else:
                yield Member(info.name, opened.extractfile(info), None)


class _Info(tarfile.TarInfo):
    """The header of a member, refused where it announces a long name or attributes of more than HEADER bytes."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        names = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if info.size > HEADER and info.type in (*names, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
            raise tarfile.ReadError(f"a header of {info.size:,} bytes")
        return info


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        reason = " ".join(str(error).split()) or "it ends too early"
        raise UserError(f"the archive {archive} is damaged or cut off ({reason}): get it again") from None
    except (NotImplementedError, RuntimeError) as error:
        raise UserError(f"the archive {archive} is packed in a way that is not read here ({error})") from None


def _refused(archive: Path, member: Member, reason: str) -> UserError:
    return UserError(f"the archive {archive} is not unpacked: the member {member.name!r} is refused, since {reason}")
