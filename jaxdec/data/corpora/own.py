"""The user's own files: a text is one document, of a folder every file is one, of a file of records every record."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jaxdec.data.corpora.base import PIECE, Corpus, Piece, Place
from jaxdec.data.files import sha256
from jaxdec.data.sources.checksums import content_of, content_of_text
from jaxdec.data.sources.documents import documents, end_of
from jaxdec.data.sources.files import files_of
from jaxdec.data.sources.kinds import records_of
from jaxdec.errors import UserError


def own_corpus(path: Path, text_field: str | None, limit_files: int | None) -> Corpus:
    """The corpus at a path. `text_field`: the field of records that holds the text; `limit_files`: of a folder.

    Raises UserError for a file that is empty, cannot be read or has no text.
    """
    if not path.is_dir() and not path.is_file():
        raise UserError(f"{path} is neither a file nor a folder: give one that has text in it")
    files = files_of(path)
    if limit_files is not None:
        if not path.is_dir():
            raise UserError(f"data.limit_files is for folders and large corpora, and {path} is one file: leave it out")
        files = files[:limit_files]
    kinds = [records_of(file) for file in files]
    if text_field is not None and not any(kinds):
        raise UserError(f"data.text_field is for files of records, and {path} is text: leave it out")
    if not path.is_dir() and kinds == [None]:
        return _one_text(path)
    names = [file.relative_to(path).as_posix() if file != path else file.name for file in files]
    corpus = Corpus(
        str(path),
        sha256(json.dumps([names, content_of(files).sha256, text_field]).encode()),
        _pieces_of(files, text_field),
        None,
        share=share_of(files),
    )
    if next(corpus.pieces(None), None) is None:
        raise UserError(f"the corpus {path} is empty: none of its records has text in it")
    return corpus


def _one_text(path: Path) -> Corpus:
    content = content_of_text(path)
    if not content.characters:
        raise UserError(f"the corpus {path} is empty: give a file with text in it")
    characters = content.characters
    return Corpus(str(path), content.sha256, _pieces_of([path], None), lambda: characters, share=share_of([path]))


def share_of(files: Sequence[Path]) -> Callable[[Place], float] | None:
    """Which share of the files lies before a place, by their sizes; None for one file that does not tell how far it
    is read."""
    sizes = [file.stat().st_size for file in files]
    end = functools.cache(end_of)
    if len(files) == 1 and end(files[0]) is None:
        return None

    def share(place: Place) -> float:
        part, offset = place
        whole = end(files[part])
        inside = 0.0 if whole is None else min(1.0, offset / max(1, whole))
        return (sum(sizes[:part]) + inside * sizes[part]) / max(1, sum(sizes))

    return share


def _pieces_of(files: Sequence[Path], text_field: str | None):
    def pieces(after: Place | None) -> Iterator[Piece]:
        part, offset = after or (0, 0)
        for number in range(part, len(files)):
            for text, ends, place in documents(files[number], text_field, offset, PIECE):
                yield Piece(text, ends, (number, place))
            offset = 0

    return pieces
