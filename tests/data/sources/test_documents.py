"""Documents of files of every kind: what is read is what was written, from any place on, in stretches of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.data.sources.documents import documents
from jaxdec.data.sources.text import Stretch, stretches
from tests.data.sources.files import COMPRESSIONS, KINDS, compressed, write

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
# Without tabs and line ends, which no .tsv can hold, and without texts that would be taken for a cell's frame.
LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)


def whole(read: Sequence[Stretch]) -> list[str]:
    """The documents that stretches make."""
    found, begun = [], ""
    for stretch in read:
        begun += stretch.text
        if stretch.ends:
            found.append(begun)
            begun = ""
    assert not begun
    return found


def check_every_place(read: Callable[[int], Sequence[Stretch]]) -> list[str]:
    """Places grow, and reading from each of them on gives the rest."""
    everything = list(read(0))
    for index, stretch in enumerate(everything):
        assert list(read(stretch.after)) == everything[index + 1 :]
    assert all(first.after < second.after for first, second in pairwise(everything))
    assert all(stretch.text for stretch in everything)
    return whole(everything)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1), size=st.integers(4, 12), mark=st.booleans())
@settings(max_examples=40)
def test_a_text_is_one_document(
    tmp_path_factory: pytest.TempPathFactory, compression: str, text: str, size: int, mark: bool
) -> None:
    path = tmp_path_factory.mktemp("text") / f"a.txt{compression}"
    text = text.removeprefix("\ufeff") or "a"
    path.write_bytes(compressed((b"\xef\xbb\xbf" if mark else b"") + text.encode(), compression))
    assert check_every_place(lambda after: list(stretches(path, after, size))) == [text]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_records_are_documents(tmp_path: Path, kind: str, compression: str) -> None:
    if kind == "parquet" and compression:
        pytest.skip("parquet is compressed inside, and refused with another compression around it")

    @given(written=st.lists(LINES if kind == "tsv" else TEXTS, max_size=8), size=st.integers(1, 50))
    @settings(max_examples=20)
    def check(written: list[str], size: int) -> None:
        path = write(tmp_path, written, kind, compression)
        assert check_every_place(lambda after: list(documents(path, None, after, size))) == [
            document for document in written if document
        ]

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_files_larger_than_a_block(tmp_path: Path, kind: str) -> None:
    written = [f"{number} " + "é" * (number % 700) + "\r\n" * (kind != "tsv") for number in range(6000)]
    path = write(tmp_path, written, kind)
    assert whole(list(documents(path, None, 0, 2**20))) == written
    middle = list(documents(path, None, 0, 2**20))[3000].after
    assert whole(list(documents(path, None, middle, 2**20))) == written[3001:]


@pytest.mark.parametrize("content", [b'\n{"text": "a"}\r\n\r\n"b"\n', b'{"text": "a"}\n"b"'])
@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_lines_of_json(tmp_path: Path, content: bytes, name: str) -> None:
    """Empty lines, Windows' line ends and bare strings are fine; .json may hold lines too."""
    path = tmp_path / name
    path.write_bytes(content)
    assert whole(list(documents(path, None, 0, 10))) == ["a", "b"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_field_with_the_text(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, ["one", "two"], kind, field="story")
    assert whole(list(documents(path, None, 0, 10))) == ["one", "two"], "the only one with text"
    assert whole(list(documents(path, "story", 0, 10))) == ["one", "two"]
