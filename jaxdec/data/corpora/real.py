"""Corpora that people wrote: files known by their checksums, taken from the data folder or else downloaded into it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxdec.data.archives import Limits, unpack
from jaxdec.data.corpora.base import PIECE, Corpus, Piece, Place, one_text
from jaxdec.data.download import fetch
from jaxdec.data.files import decode, file_sha256, read_bytes, sha256, write_whole
from jaxdec.data.folders import data_folder
from jaxdec.errors import UserError

UNPACKED = Limits(bytes=2**30, members=100)
STRETCHES = 2**16  # a place in a corpus of documents is (documents behind) * STRETCHES + (stretches of the next behind)


@dataclass(frozen=True)
class KnownFile:
    """A file of `size` bytes. The checksum decides; `size` None: it is not known beforehand."""

    file: str
    size: int | None
    sha256: str

    def __str__(self) -> str:
        length = "" if self.size is None else f"{self.size:,} bytes, "
        return f"{self.file} ({length}sha256 {self.sha256})"


@dataclass(frozen=True)
class Archive:
    """What the mirrors have, where it is an archive with the file in it. `member`: the file's path there."""

    known: KnownFile
    member: str


@dataclass(frozen=True)
class RealCorpus:
    """<name>/<file> in the data folder, of `size` bytes.

    `documents(path)`: the texts of a file that is not one text, one after the other. `format`: a number that grows
    when these texts change. `others`: files that do as well where they are there, such as a part of the whole.
    """

    name: str
    about: str
    file: str
    size: int | None
    sha256: str
    mirrors: tuple[str, ...]
    licence: str = ""
    origin: str = ""
    documents: Callable[[Path], Iterator[str]] | None = None
    format: int = 1
    others: tuple[KnownFile, ...] = ()
    archive: Archive | None = None

    def load(self, from_file: Path | None) -> Corpus:
        """`from_file`, the user's copy, is put into the data folder. Raises UserError when it is another file.

        A text is read, and downloaded where it is missing, when it is first used.
        """
        taken = self.take(from_file) if from_file is not None else None
        if self.documents is None:
            return one_text(self.name, self.sha256, lambda: decode(self._content(), self.place, "the corpus"))
        found = taken or self._found()
        hash = sha256(json.dumps([self.name, self.format, found.sha256]).encode())
        return Corpus(self.name, hash, self._pieces, None)

    @property
    def described(self) -> str:
        """What it is, how much, and whose: a line of `jaxdec list`."""
        parts = [in_short(self.size) if self.size else "", self.licence, f"from {self.origin}" if self.origin else ""]
        return f"{self.about} ({'; '.join(part for part in parts if part)})"

    @property
    def place(self) -> Path:
        return self.place_of(self.known)

    @property
    def known(self) -> KnownFile:
        return KnownFile(self.file, self.size, self.sha256)

    def place_of(self, known: KnownFile) -> Path:
        return data_folder() / self.name / known.file

    def obtain(self) -> Path:
        """The file in the data folder, downloaded where it is missing, with the right checksum. Raises UserError."""
        known = self._found()
        place = self.place_of(known)
        if not place.exists():
            self._download()
        if not place.is_file():
            raise UserError(f"{place} is a folder, and should be the corpus {self.name}: move it away")
        if (found := file_sha256(place)) != known.sha256:
            way = "it is downloaded again" if self.mirrors else "then put the right file there"
            raise UserError(
                f"{place} is not {self.name}: its sha256 is {found}, expected is {known.sha256}. "
                f"Delete it ({way}), or replace it with --from-file PATH"
            )
        return place

    def take(self, path: Path) -> KnownFile:
        """Puts the user's copy into the data folder. Raises UserError when it is another file."""
        content = read_bytes(path, "the file given with --from-file")
        found = sha256(content)
        if self.archive is not None and found == self.archive.known.sha256:
            if not self.place.exists():
                self._unpack(path, self.archive)
            return self.known
        for known in (self.known, *self.others):
            if known.sha256 == found:
                if not self.place_of(known).exists():
                    write_whole(self.place_of(known), content, "the data file")
                return known
        length = "" if self.size is None else f"{self.size:,} bytes, "
        raise UserError(
            f"--from-file {path} is not {self.name}: it has {len(content):,} bytes, sha256 {found}, "
            f"not {length}{self.sha256}. To train on it anyway, give its path as the corpus"
        )

    def _found(self) -> KnownFile:
        """The first of the files that is there, else the one to download."""
        there = [known for known in (self.known, *self.others) if self.place_of(known).exists()]
        return there[0] if there else self.known

    def _download(self) -> None:
        if not self.mirrors:
            raise UserError(
                f"the corpus {self.name} is not on this machine, and no address is known that has it. Two ways: put "
                f"the file at {self.place} ($JAXDEC_DATA_DIR/{self.name}/{self.file}; {self.size:,} bytes, sha256 "
                f"{self.sha256}); or give a copy with --from-file PATH"
            )
        if self.archive is None:
            fetch(self.name, self.mirrors, self.size, self.sha256, self.place)
            return
        packed = self.place.with_name(self.archive.known.file)
        fetch(self.name, self.mirrors, self.archive.known.size, self.archive.known.sha256, packed)
        self._unpack(packed, self.archive)
        packed.unlink()

    def _unpack(self, packed: Path, archive: Archive) -> None:
        """Puts the member into its place. Its checksum is looked at where it is read."""
        folder = self.place.with_name(f".{archive.known.file}.unpacked")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            unpack(packed, folder, UNPACKED)
            if not (folder / archive.member).is_file():
                raise UserError(f"the archive {packed} has no member {archive.member!r}: it is not that of {self.name}")
            (folder / archive.member).replace(self.place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _content(self) -> bytes:
        return read_bytes(self.obtain(), f"the corpus {self.name} in")

    def _pieces(self, after: Place | None) -> Iterator[Piece]:
        assert self.documents is not None
        first, behind = divmod(0 if after is None else after[1], STRETCHES)
        for number, text in enumerate(self.documents(self.obtain())):
            cuts = range(0, len(text), PIECE) if number >= first else ()
            for stretch, cut in enumerate(cuts, start=1):
                last = stretch == len(cuts)
                if number > first or stretch > behind:
                    place = (number + 1) * STRETCHES if last else number * STRETCHES + stretch
                    yield Piece(text[cut : cut + PIECE], last, (0, place))


def in_short(size: int) -> str:
    """Bytes, as people say them.

    >>> in_short(20_479), in_short(1_115_394), in_short(28_500_000_000)
    ('20 kB', '1.1 MB', '28.5 GB')
    """
    for power, unit in ((3, "GB"), (2, "MB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return f"{size / 1000:.0f} kB"
