"""Own files and folders as corpora: which documents there are, in which order, and what their hash depends on."""

from __future__ import annotations

import gzip
import json
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from jaxdec.data.corpora import own
from jaxdec.data.corpora.base import Corpus, Piece, Place
from jaxdec.data.corpora.registry import load_corpus
from jaxdec.data.sources import checksums
from jaxdec.errors import UserError
from tests.data.sources.files import compressed, records


def documents(corpus: Corpus, after: Place | None = None) -> list[str]:
    found = [""]
    for text, ends, _ in corpus.pieces(after):
        found[-1] += text
        found += [""] * ends
    assert found.pop() == ""
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of several kinds of files, some of which are left out."""
    folder = tmp_path / "own"
    (folder / "b").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("no text of the corpus")
    (folder / ".hidden.txt").write_text("no text of the corpus")
    (folder / "empty.txt").write_text("")
    (folder / "a.txt").write_text("first\n")
    (folder / "b" / "c.txt.gz").write_bytes(gzip.compress(b"second"))
    (folder / "b" / "d.jsonl").write_text('{"text": "third"}\n{"text": ""}\n{"text": "fourth"}\n')
    (folder / "z.md").write_text("# fifth")
    return folder


def test_a_folder_is_a_document_per_file_and_per_record(folder: Path) -> None:
    corpus = load_corpus(str(folder))
    assert corpus.characters is None
    assert documents(corpus) == ["first\n", "second", "third", "fourth", "# fifth"]
    assert documents(load_corpus(str(folder), limit_files=2)) == ["first\n", "second"]
    hashes = {
        load_corpus(str(folder), **settings).hash for settings in ({}, {"limit_files": 2}, {"text_field": "text"})
    }
    assert len(hashes) == 3
    (folder / "b" / "c.txt.gz").write_bytes(gzip.compress(b"another"))
    assert load_corpus(str(folder)).hash not in hashes


def test_from_any_place_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "PIECE", 4)
    for settings in ({}, {"limit_documents": 3}):
        corpus = load_corpus(str(folder), **settings)
        pieces = list(corpus.pieces(None))
        assert [list(corpus.pieces(piece.place)) for piece in pieces] == [
            pieces[index:] for index in range(1, len(pieces) + 1)
        ]
        places = [piece.place for piece in pieces]
        assert places == sorted(set(places))


def test_the_first_documents(folder: Path) -> None:
    for limit in (1, 3, 5, 9):
        corpus = load_corpus(str(folder), limit_documents=limit)
        assert documents(corpus) == documents(load_corpus(str(folder)))[:limit]
    assert load_corpus(str(folder), limit_documents=1).hash != load_corpus(str(folder), limit_documents=2).hash


def test_one_text_is_the_same_corpus_however_it_is_packed(tmp_path: Path) -> None:
    content = "Café\r\n".encode() * 1000
    plain, packed = tmp_path / "a.txt", tmp_path / "a.txt.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    first, second = load_corpus(str(plain)), load_corpus(str(packed))
    assert first.hash == second.hash
    assert first.text == second.text == content.decode()
    assert first.characters is not None
    assert first.characters() == len(first.text)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", ""])
def test_what_is_large_is_read_once_for_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(checksums, "LARGE", 10)
    opened: list[Path] = []
    open_file = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *args, **kwargs: opened.append(path) or open_file(path, *args, **kwargs)
    )
    monkeypatch.setattr(own, "_pieces_of", lambda *_: lambda _: iter([Piece("a", True, (0, 1))]))
    folder = tmp_path / "folder"
    folder.mkdir()
    for each in ("a.txt", "a.jsonl"):
        (folder / each).write_text('{"text": "long enough"}')

    def reads() -> tuple[str, int]:
        opened.clear()
        hash = load_corpus(str(folder / name)).hash
        return hash, len([path for path in opened if folder in path.parents])

    count = 1 if name else 2
    hash, first = reads()
    assert (first, reads()) == (count, (hash, count)), "changed this second: it may change again"
    for path in folder.iterdir():
        os.utime(path, (time.time() - 100,) * 2)
    assert [reads() for _ in range(3)] == [(hash, count), (hash, 0), (hash, 0)]
    (folder / (name or "a.txt")).write_text('{"text": "another, and longer"}')
    assert reads()[0] != hash
    (tmp_path / "cache" / "checksums.json").write_text("{")
    os.utime(folder / (name or "a.txt"), (time.time() - 100,) * 2)
    assert reads()[0] != hash


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
def test_what_never_ends_is_not_begun() -> None:
    with pytest.raises(UserError, match="/dev/zero is neither a file nor a folder"):
        load_corpus("/dev/zero")


@pytest.mark.parametrize("name", ["jsonl", "json", "csv", "parquet", "txt", "txt.gz", "jsonl.zst"])
def test_memory_has_a_bound(tmp_path: Path, name: str) -> None:
    """24 MB of text are read with a few MB at a time (what Python allocates; zstandard and pyarrow have their own)."""
    kind, _, packed = name.partition(".")
    path = tmp_path / f"a.{name}"
    content = b"0123456789 abcde" * 1_500_000
    if kind != "txt":
        content = records([f"{number} " * 3000 for number in range(1000, 2600)], kind)
    path.write_bytes(compressed(content, f".{packed}"))
    corpus = load_corpus(str(path))
    tracemalloc.start()
    try:
        characters = sum(len(piece.text) for piece in corpus.pieces(None))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert characters == 24_000_000
    assert peak < 9_000_000


def shared(*parts: str) -> Path:
    path = Path(os.environ.get("JAXDEC_DATA_DIR", "")).joinpath(*parts)
    if not os.environ.get("JAXDEC_DATA_DIR") or not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not in $JAXDEC_DATA_DIR")
    return path


@pytest.mark.parametrize(
    ("parts", "settings", "count"),
    [
        (("hellaswag", "hellaswag_val_1000.jsonl"), {"text_field": "ctx"}, 1000),
        (("instruct", "instruction-data.json"), {"text_field": "output"}, 1100),
        (("preference", "instruction-data-with-preference.json"), {"text_field": "chosen"}, 1100),
        (("the_verdict",), {}, 1),
    ],
)
def test_real_files(parts: tuple[str, ...], settings: dict[str, Any], count: int) -> None:
    path = shared(*parts)
    found = documents(load_corpus(str(path), **settings))
    assert len(found) == count
    if path.suffix == ".json":
        assert found == [record[settings["text_field"]] for record in json.loads(path.read_text(encoding="utf-8"))]
