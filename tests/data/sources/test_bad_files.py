"""Files that cannot be read as what their names say: one line each, that says what is wrong and where."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from jaxdec.data.corpora.registry import load_corpus
from jaxdec.data.sources import lines
from jaxdec.errors import UserError
from tests.data.sources.files import KINDS, compressed, records, write


def refused(path: Path, **settings: Any) -> str:
    """The line with which reading the whole corpus fails."""
    with pytest.raises(UserError) as caught:
        for _ in load_corpus(str(path), **settings).pieces(None):
            pass
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


GOOD = b'{"text": "a"}\n'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", GOOD + b'{"text": "b"\n', "line 2 of {path} is not JSON (Expecting ',' delimiter, column 13)"),
        ("a.jsonl", GOOD + b"[1]\n", "line 2 of {path} holds a list: a record is a JSON object, or a string"),
        ("a.jsonl", GOOD + b"7\n", "line 2 of {path} holds a number"),
        (
            "a.jsonl",
            GOOD + b'{"words": "b", "id": 1}\n',
            "line 2 of {path} has no field 'text': its fields are words, id",
        ),
        ("a.jsonl", GOOD + b'{"text": null}\n', "line 2 of {path} has null as its 'text', which is no text"),
        ("a.jsonl", GOOD + b'{"text": 3}\n', "line 2 of {path} has '3' as its 'text'"),
        ("a.jsonl", GOOD + b'{"text": "\\ud800"}\n', "line 2 of {path} has half a character in 'text'"),
        ("a.jsonl", GOOD + b'{"text": "\xff"}\n', "{path} is not UTF-8: byte 0xff at offset 24"),
        ("a.jsonl", GOOD + b"9" * 5000 + b"\n", "line 2 of {path} is not JSON that can be read"),
        ("a.jsonl", GOOD + b"[" * 100_000 + b"\n", "line 2 of {path} is not JSON that can be read"),
        ("a.jsonl", b'{"a": "x", "b": "y", "n": 1}\n', "has no field 'text' (fields with text: a, b): say which one"),
        ("a.jsonl", b'{"a": "x"}\n' + GOOD, "line 2 of {path} has a field 'text', which the first record has not: say"),
        ("a.jsonl", b'{"n": 1}\n', "has no field 'text' (fields: n)"),
        ("a.jsonl", b'{"text": ""}\n', "is empty: none of its records has text in it"),
        ("a.json", b"[]", "is empty: none of its records"),
        ("a.json", b'[{"text": "a"}, {"text": "b"', "the file is cut off, or a bracket or quote is missing"),
        ("a.json", b'[{"text": "a"},\n', "line 2 of {path} is not JSON (Expecting value): the file is cut off"),
        ("a.json", b'[{"text": "a"}', "{path} is cut off: its list has no end"),
        ("a.json", b'[\n{"text": "a"}\n{"text": "b"}]', "line 3 of {path} is not JSON: a comma or ] is missing"),
        ("a.json", b'[{"text": "a"}]\n[', "line 2 of {path} goes on behind the end of the list"),
        ("a.json", b'[{"text": "a"}, 12345]', "line 1 of {path} holds a number"),
        ("a.json", b'"text"', "{path} is no list of records: a .json file begins with [ or {{, not '\"'"),
        ("a.json", b'{\n "text": "a"\n}', "line 1 of {path} is not JSON"),
        ("a.csv", b'text,n\na,1\n"b,2\n', "line 3 of {path} begins a row that is no CSV"),
        ("a.csv", b"text,n\na,1\nb\n", "line 3 of {path} has 1 columns, not the 2 that its first line names: text, n"),
        ("a.csv", b"text,text\na,1\n", "has two columns of one name: 'text'"),
        ("a.csv", b"text,n\n", "is empty: none of its records has text"),
        ("a.tsv", b"ham\tgo\nspam\twin\n", "has no field 'text' (fields with text: ham, go)"),
        ("a.tsv", b"text\tn\na\t1\nb\n", "line 3 of {path} has 1 columns, not the 2"),
        ("a.txt", b"", "{path} is empty: give a file with text in it"),
        ("a.txt", b"\xef\xbb\xbf", "{path} is empty"),
        ("a.txt", "é".encode()[:1], "{path} is not UTF-8: byte 0xc3 at offset 0"),
        ("a.txt", "text".encode("utf-16"), "(it may be UTF-16). Convert it, for example with `iconv -f utf-16"),
        ("a.md", b"x" * 2**20 + b"\xe9", "{path} is not UTF-8: byte 0xe9 at offset 1048576"),
        ("a.txt.gz", b"plain", "{path} is damaged, or no gzip file"),
        ("a.txt.zst", b"plain", "{path} is damaged, or no zstd file: no frame begins at byte 0"),
        ("a.parquet", b"PAR1 and no more", "{path} is no parquet file, or damaged or cut off"),
        ("a.zip", b"PK", "{path} is packed: unpack it"),
        ("a.tar.gz", b"x", "{path} is packed: unpack it"),
        ("a.parquet.gz", b"x", "{path} is packed twice"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    if "zst" in name:
        pytest.importorskip("zstandard")
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    assert said.format(path=path) in refused(path)


@pytest.mark.parametrize("compression", [".gz", ".zst"])
@pytest.mark.parametrize("name", ["txt", "jsonl"])
def test_a_cut_file_never_passes_for_a_shorter_one(tmp_path: Path, name: str, compression: str) -> None:
    content = b"some text\n" * 1000 if name == "txt" else records(["some text"] * 1000, "jsonl")
    packed = compressed(content, compression)
    path = tmp_path / f"a.{name}{compression}"
    for length in {len(packed) - 1, len(packed) - 9, 2 * len(packed) // 3, len(packed) // 3, 3}:
        path.write_bytes(packed[:length])
        assert "cut off" in refused(path)


def test_damage_inside_is_noticed(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(bytes(range(32, 127)) * 50))
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "a.txt.gz"
    path.write_bytes(content)
    assert "is damaged, or no gzip file" in refused(path)


def test_a_cut_parquet_file(tmp_path: Path) -> None:
    path = write(tmp_path, ["a"] * 100, "parquet")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "is no parquet file, or damaged or cut off" in refused(path)
    half = len(content) // 3
    path.write_bytes(content[:4] + bytes(half) + content[4 + half :])  # the footer stands, pages do not
    assert str(path) in refused(path)


def test_a_record_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "RECORD", 2**20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b'{"text": "' + b"x" * 2**22)
    assert f"line 2 of {path} begins a record of more than 1 MiB" in refused(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_is_not_there(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, ["one", "two"], kind)
    assert "has no field 'txt' (data.text_field) (did you mean 'text'?)" in refused(path, text_field="txt")


def test_settings_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("text")
    assert "data.text_field is for files of records" in refused(text, text_field="text")
    assert "data.limit_files is for folders" in refused(text, limit_files=1)
    assert "data.limit_documents is for corpora of many documents" in refused(text, limit_documents=1)
    for settings in ({"text_field": "text"}, {"limit_files": 1}):
        with pytest.raises(UserError, match="means nothing to the corpus 'markov'"):
            load_corpus("markov", **settings)


def test_a_file_in_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    bad = tmp_path / "inner" / "b.jsonl"
    bad.parent.mkdir()
    bad.write_text(json.dumps({"text": "a"}) + "\nno\n")
    assert f"line 2 of {bad} is not JSON" in refused(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner").chmod(0)
    assert "cannot be read" in refused(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("text")
    (tmp_path / "empty.txt").write_text("")
    assert "is a folder without a file that has text in it" in refused(tmp_path)
