"""`jaxdec prepare` as it is typed: the corpus beside the flags, what it says, and memory that does not grow with the
text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxdec.cli.main import main
from tests.cli.conftest import Refused

# On two cores, since more read more ahead; the peak of a process is 0 kB when it starts its program.
MEASURED = """
import os, re, sys
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:2])
from jaxdec.cli.main import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
sys.exit(code)
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_corpus_stands_beside_the_flags(run: Any, corpus: Path) -> None:
    named = run("prepare", corpus, "--data.tokenizer.kind", "words")[0]
    assert named == run("prepare", "--data.corpus", corpus, "--data.tokenizer.kind", "words", "--check")[0]
    assert (named["tokenizer"], named["train_documents"]) == ("words", 1)


def test_documents_are_counted(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "pets.jsonl"
    path.write_text("".join(json.dumps({"text": f"dog {number % 3}"}) + "\n" for number in range(30)))
    result, told = run("prepare", path)
    assert (result["train_documents"], result["validation_documents"]) == (27, 3)
    assert result["train_tokens"] == 27 * len("\ndog 1") + 1
    assert "validation_documents   3\n" in told


def test_two_corpora_are_refused(refused: Refused, corpus: Path) -> None:
    line = refused("prepare", corpus, "--data.corpus", "markov")
    assert line == f"two corpora are given, {corpus} and --data.corpus markov: leave one out"


def test_the_check_names_what_is_damaged(run: Any, refused: Refused, corpus: Path) -> None:
    folder = Path(run("prepare", corpus)[0]["folder"])
    path = folder / "validation.safetensors"
    content = bytearray(path.read_bytes())
    content[4100] ^= 1
    path.write_bytes(content)
    line = refused("prepare", corpus, "--check", "--json")
    assert line.startswith(f"the shard {path} is damaged: the block from byte 4,096 on does not fit its checksum")
    assert f"Delete the folder {folder}" in line


def test_json_is_alone_on_stdout(corpus: Path) -> None:
    words = [sys.executable, "-m", "jaxdec.cli.main", "prepare", str(corpus), "--json"]
    done = subprocess.run(words, capture_output=True, check=True)
    assert json.loads(done.stdout)["train_documents"] == 1


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[dict[str, Any], str]]:
    """Runs a command that must succeed; returns its JSON line, and what it printed for people."""

    def run(*words: object) -> tuple[dict[str, Any], str]:
        assert main([str(word) for word in (*words, "--json")]) == 0
        captured = capsys.readouterr()
        return json.loads(captured.out), captured.err

    return run


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it measures on Linux")
def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    peaks = []
    for megabytes in (8, 40):
        path = tmp_path / f"{megabytes}.txt"
        path.write_text("A line of some fifty letters that says nothing new.\n" * (megabytes * 2**20 // 52))
        words = [sys.executable, "-W", "ignore", "-c", MEASURED, "prepare", str(path)]
        told = subprocess.run(words, capture_output=True, check=True).stdout
        peaks.append(int(told.splitlines()[-1]) / 1024)
    # In one string the larger text alone would be 32 MB more, and its ids as much again several times.
    assert peaks[1] - peaks[0] < 25
