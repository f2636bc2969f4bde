"""`jaxdec prepare PATH` on files of every kind: what is counted, and one line for files that are wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxdec.cli.main import main
from tests.data.sources.files import KINDS, compressed, records

Refused = Callable[..., str]
TEXTS = [f"{number} and {number + 1} and" for number in range(10, 60)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prepared(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["prepare", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
def test_every_kind_gives_the_same_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str], compression: str) -> None:
    found = set()
    for kind in [kind for kind in KINDS if not (kind == "parquet" and compression)]:
        path = tmp_path / f"a.{kind}{compression}"
        path.write_bytes(compressed(records(TEXTS, kind), compression))
        result = prepared(capsys, path)
        found.add((result["train_documents"], result["train_tokens"], result["validation_tokens"]))
    assert len(found) == 1
    assert result["train_documents"] + result["validation_documents"] == len(TEXTS)


def test_a_folder_of_a_mixture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mixed"
    (folder / "inner").mkdir(parents=True)
    for number, text in enumerate(TEXTS[:20]):
        (folder / f"{number}.txt").write_text(text)
    (folder / "inner" / "rest.csv").write_bytes(records(TEXTS[20:], "csv"))
    (folder / ".hidden").write_bytes(b"\xff")
    result = prepared(capsys, folder)
    assert result["train_documents"] + result["validation_documents"] == len(TEXTS)
    result = prepared(capsys, folder, "--data.limit-documents", 30)
    assert result["train_documents"] + result["validation_documents"] == 30
    result = prepared(capsys, folder, "--data.limit-files", 20)
    assert result["train_documents"] + result["validation_documents"] == 20


GOOD = records(TEXTS, "jsonl")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", GOOD + b"{\n", "line 51 of {path} is not JSON (Expecting property name"),
        ("a.jsonl", GOOD + b'{"txt": "a"}\n', "line 51 of {path} has no field 'text': its fields are txt"),
        (
            "a.jsonl",
            GOOD + b'{"text": "\xff"}\n',
            f"the corpus {{path}} is not UTF-8: byte 0xff at offset {len(GOOD) + 10}",
        ),
        ("a.jsonl", b"\n\n", "the corpus {path} is empty: none of its records has text in it"),
        ("a.json", b"[]", "the corpus {path} is empty"),
        ("a.json", b"[" + GOOD.replace(b"\n", b",\n"), "line 51 of {path} is not JSON"),
        ("a.csv", b'text\n"a\n', "line 2 of {path} begins a row that is no CSV"),
        ("a.tsv", b"label\ttext\nham\n", "line 2 of {path} has 1 columns, not the 2 that its first line names"),
        ("a.txt", b"", "the corpus {path} is empty: give a file with text in it"),
        ("a.txt", b"caf\xe9 " * 1000, "the corpus {path} is not UTF-8: byte 0xe9 at offset 3"),
        ("a.txt.gz", gzip.compress(b"a text " * 999, mtime=0)[:-9], "the file {path} is cut off: its gzip data stop"),
        ("a.txt.zst", b"\x28\xb5\x2f\xfd", "the file {path} is cut off: its last zstd frame is not whole"),
        ("a.parquet", b"PAR1", "the file {path} is no parquet file, or damaged or cut off"),
        ("a.zip", b"PK", "{path} is packed: unpack it"),
        ("a", None, "the corpus {path} is a folder without a file that has text in it"),
    ],
)
def test_a_wrong_file_gets_one_line(
    tmp_path: Path, cache: Path, refused: Refused, name: str, content: bytes | None, said: str
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    line = refused("prepare", path)
    assert said.format(path=path) in line
    assert not [file for file in cache.rglob("*") if file.is_file() and file.suffix != ".lock"], "nothing half-written"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data.text-field", "words"), "has no field 'words' (data.text_field)"),
        (("--data.text-field", ""), "data.text_field is empty: give the name of a field, or None"),
        (("--data.limit-documents", "0"), "data.limit_documents is 0: give a whole number from 1, or None"),
        (("--data.limit-files", "1"), "data.limit_files is for folders and large corpora"),
        (("--from-file", "x.txt"), "--from-file is for a corpus of the list, not beside the path"),
    ],
)
def test_a_wrong_setting_gets_one_line(tmp_path: Path, refused: Refused, words: tuple[str, ...], said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD)
    assert said in refused("prepare", path, *words)


def test_settings_of_records_mean_nothing_to_pairs(tmp_path: Path, refused: Refused) -> None:
    line = refused(
        "train", "translate", "--data.corpus", "reverse", "--data.limit-documents", "5", "--out", tmp_path / "r"
    )
    assert "data.limit_documents means nothing to a corpus of pairs" in line
