"""Large corpora: parquet files on the Hugging Face hub, read one after the other and not kept unless that is asked for.

Which files there are is looked up once, and written down in the data folder with their checksums: from then on the
corpus is these files, whatever the hub changes. While one is read the next is downloaded.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxdec.config.files import write_json
from jaxdec.data.corpora.base import PIECE, Corpus, Piece, Place
from jaxdec.data.files import sha256
from jaxdec.data.folders import cache_folder, data_folder
from jaxdec.data.hub import HubFile, Unreachable, download, list_files
from jaxdec.data.sources.checksums import content_of
from jaxdec.data.sources.documents import STRETCHES, Document, in_stretches, texts
from jaxdec.data.sources.files import files_of
from jaxdec.data.sources.kinds import RECORDS
from jaxdec.errors import UserError, listed

PARQUET = RECORDS[".parquet"]
DROPPED_AFTER = (
    2**28
)  # characters of the next file: by then what was read of a file is in the shards, also after a kill


class Source(NamedTuple):
    """Where files lie on the hub: a branch or commit, and a pattern of their paths (`*` stands for / too)."""

    revision: str
    pattern: str


class Listing(NamedTuple):
    """The files of a corpus: at a commit of the hub, or in a folder of this machine (then `commit` is empty)."""

    place: str
    commit: str
    files: list[HubFile]


@dataclass(frozen=True)
class HubCorpus:
    """`sources`: what may follow a colon in the name -> the places where the files may lie; the first is the default.

    `join(rows)` makes documents of rows; None: a row is a document. `format`: a number that grows when they change.
    """

    name: str
    about: str
    repo: str
    sources: Mapping[str, tuple[Source, ...]]
    licence: str
    size: str  # of the files, about
    column: str = "text"
    join: Callable[[Iterator[Document]], Iterator[Document]] | None = None
    format: int = 1

    @property
    def described(self) -> str:
        return f"{self.about} (about {self.size}; {self.licence}; from {self.repo} on the hub)"

    def load(self, name: str, from_file: Path | None, limit_files: int | None, keep_files: bool) -> Corpus:
        """`from_file`: a parquet file, or a folder of them. Raises UserError."""
        part = self._part(name)
        listing = self._listing(part, from_file)
        listing = listing._replace(files=listing.files[:limit_files])
        reader = Reader(self, listing, keep_files)
        identity = [self.name, self.format, [file.sha256 for file in listing.files]]
        return Corpus(name, sha256(json.dumps(identity).encode()), reader.pieces, None, share=reader.share)

    def _part(self, name: str) -> str:
        part = name.partition(":")[2] or next(iter(self.sources))
        if part not in self.sources:
            ways = " or ".join(f"{self.name}:{each}" if each else self.name for each in self.sources)
            raise UserError(f"the corpus {name!r} has no such part: write {ways}")
        return part

    def _given_folder(self, part: str) -> Path:
        """Where the user may put the files."""
        folder = data_folder() / self.name
        return folder / self.sources[part][0].pattern.rpartition("/")[0] if len(self.sources) > 1 else folder

    def _listing(self, part: str, from_file: Path | None) -> Listing:
        place = data_folder() / self.name / (f"files-{part}.json" if part else "files.json")
        if from_file is None and place.exists():
            return self._read(place)
        given = from_file or self._given_folder(part)
        if from_file is None and not any(given.rglob("*.parquet")):
            listing = self._of_hub(part)
        else:
            listing = self._of_folder(given)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, listing._asdict())
        return listing

    def _read(self, place: Path) -> Listing:
        try:
            values = json.loads(place.read_text(encoding="utf-8"))
            files = [HubFile(str(path), int(size), str(checksum)) for path, size, checksum in values["files"]]
            return Listing(str(values["place"]), str(values["commit"]), files)
        except (ValueError, KeyError, TypeError, OSError):
            raise UserError(
                f"{place} cannot be read: delete it, and the files of {self.name} are looked up again"
            ) from None

    def _of_hub(self, part: str) -> Listing:
        failures = []
        for revision, pattern in self.sources[part]:
            try:
                commit, files = list_files(self.repo, revision, pattern)
            except Unreachable as failure:
                failures.append(f"{revision}: {failure}")
                continue
            if files:
                return Listing(self.repo, commit, files)
            failures.append(f"{revision}: no file fits {pattern}")
        raise self._not_here("; ".join(failures), part)

    def _not_here(self, reason: str, part: str) -> UserError:
        return UserError(
            f"the corpus {self.name} is not on this machine, and its files cannot be looked up on the hub ({reason}). "
            f"Three ways: run again with a connection; or put the files {self.sources[part][0].pattern} of the data "
            f"set {self.repo} into {self._given_folder(part)} (in $JAXDEC_DATA_DIR/{self.name}); or give a folder that "
            "has them with --from-file FOLDER"
        )

    def _of_folder(self, folder: Path) -> Listing:
        """The parquet files that the user has."""
        if not folder.exists():
            raise UserError(f"the folder given with --from-file {folder} does not exist: check the path")
        there = [file for file in files_of(folder) if file.suffix.lower() == ".parquet"]
        if not there:
            raise UserError(f"{folder} has no .parquet file, as the corpus {self.name} has them: give their folder")
        base = folder if folder.is_dir() else folder.parent
        for file in there:
            self.require_column(file)
        files = [HubFile(str(file.relative_to(base)), file.stat().st_size, content_of([file]).sha256) for file in there]
        return Listing(str(base.resolve()), "", files)

    def require_column(self, path: Path) -> None:
        columns = PARQUET.columns(path)
        if not columns.get(self.column):
            raise UserError(
                f"{path} is no file of {self.name}: it has no column {self.column!r} with text, but "
                f"{listed(columns, most=10)}. Give it as a corpus of its own, by its path"
            )


class Reader:
    """Reads the files of a listing in turn, and has them here when they are needed."""

    def __init__(self, corpus: HubCorpus, listing: Listing, keep_files: bool) -> None:
        self.corpus, self.listing, self.keep_files = corpus, listing, keep_files
        self._rows: dict[int, int] = {}  # of the files that were here

    def pieces(self, after: Place | None) -> Iterator[Piece]:
        first, offset = after or (0, 0)
        read: Path | None = None  # the file before, which may be dropped soon
        for number in range(first, len(self.listing.files)):
            path = self._here(number)
            following = self._ahead(number + 1)
            characters = 0
            for text, ends, place in in_stretches(self._documents(path, offset // STRETCHES), offset, PIECE):
                yield Piece(text, ends, (number, place))
                characters += len(text)
                if read is not None and characters > DROPPED_AFTER:
                    read = self._drop(read)
            if read is not None:
                self._drop(read)
            read, offset = path, 0
            if following is not None:
                following.join()
        if read is not None:
            self._drop(read)

    def share(self, place: Place) -> float:
        """By the sizes of files, and the rows of the one that is read."""
        number, offset = place
        sizes = [file.size for file in self.listing.files]
        inside = min(1.0, offset / STRETCHES / max(1, self._rows.get(number, 0))) if number in self._rows else 0.0
        return (sum(sizes[:number]) + inside * sizes[number]) / max(1, sum(sizes))

    def _documents(self, path: Path, start: int) -> Iterator[Document]:
        rows = texts(path, PARQUET, self.corpus.column, start)
        return rows if self.corpus.join is None else self.corpus.join(rows)

    def _places(self, number: int) -> tuple[Path, Path]:
        """Where a file of the hub is kept, and where it lies while it is read."""
        path, folder = self.listing.files[number].path, self.corpus.name
        return data_folder() / folder / path, cache_folder() / "downloads" / folder / path

    def _here(self, number: int, *, quiet: bool = False) -> Path:
        """The file of that number, downloaded where it is missing."""
        file = self.listing.files[number]
        if not self.listing.commit:
            path = Path(self.listing.place) / file.path
            if not path.exists():
                raise UserError(
                    f"{path}, a file of the corpus {self.corpus.name}, is gone: give the folder again with --from-file"
                )
        else:
            kept, passing = self._places(number)
            path = next((place for place in (kept, passing) if place.exists()), kept if self.keep_files else passing)
            if not path.exists():
                try:
                    download(self.corpus.name, self.listing.place, self.listing.commit, file, path, quiet=quiet)
                except Unreachable as failure:
                    raise UserError(f"the corpus {self.corpus.name} cannot be downloaded: {failure}") from None
        if path.stat().st_size != file.size:
            raise UserError(f"{path} has changed: it had {file.size:,} bytes. Give the folder again with --from-file")
        self.corpus.require_column(path)
        self._rows[number] = PARQUET.end(path) if PARQUET.end else 0
        return path

    def _ahead(self, number: int) -> threading.Thread | None:
        """Downloads a file meanwhile. What goes wrong is found again, and told, when it is needed."""
        if number >= len(self.listing.files) or not self.listing.commit:
            return None

        def get() -> None:
            with suppress(Exception):
                self._here(number, quiet=True)

        thread = threading.Thread(target=get, daemon=True)
        thread.start()
        return thread

    def _drop(self, path: Path) -> None:
        """Deletes a file that was only downloaded to be read."""
        if cache_folder() / "downloads" in path.parents and not self.keep_files:
            path.unlink(missing_ok=True)
