"""A prepare that is killed at any moment goes on where it was, and its shards are those of one that nobody stopped."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxdec.config.run import DataConfig
from jaxdec.config.tokenizers import BPE
from jaxdec.data import shards
from jaxdec.data.corpora.base import Corpus, Piece, Place
from jaxdec.data.shards import prepare
from jaxdec.data.tokenizers.registry import BPETokenizer
from jaxdec.data.tokens import encode, make
from jaxdec.errors import UserError
from tests.data.tokens.corpora import of_documents, of_one

TEXTS = [f"the document {number}, it says {'so ' * (number % 9)}much" for number in range(200)]

TOKENIZER = BPETokenizer.train(" ".join(TEXTS), 300)

# Saves after every batch, of which there are many; a pause in each gives the kill a moment to come in.
SLOW = """
import sys, time
from jaxdec.data.corpora import base
base.PIECE = 3000
from jaxdec.cli.main import main
from jaxdec.data.tokens import encode, make, split
make.SAVE_EVERY = 0.0
batches = encode._batches
def slow(stretches, size):
    for batch in batches(stretches, 3000):
        time.sleep(0.004)
        yield batch
encode._batches = slow
sys.exit(main(sys.argv[1:]))
"""


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("many", [True, False])
def test_killed_at_any_moment_it_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: bool
):
    path = tmp_path / ("text.jsonl" if many else "text.txt")
    lines = [f"{text} {number}" for number in range(20) for text in TEXTS]
    path.write_text("".join(json.dumps({"text": line}) + "\n" if many else line + "\n" for line in lines))
    monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / "whole"))
    whole = prepare(DataConfig(str(path), BPE(300)))
    assert whole.folder is not None
    words = [sys.executable, "-c", SLOW, "prepare", str(path), "--data.tokenizer.kind", "bpe"]
    words += ["--data.tokenizer.vocab-size", "300"]
    environment = os.environ | {"JAXDEC_CACHE_DIR": str(tmp_path / "killed")}
    draw, kills, saved = random.Random(1), 0, []
    progress = tmp_path / "killed" / "shards" / f".{whole.folder.name}.work" / "progress.json"
    while True:
        with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            before = progress.read_bytes() if progress.exists() else b""
            while process.poll() is None and kills < 4:
                if progress.exists() and progress.read_bytes() != before:
                    time.sleep(draw.random() * 0.03)
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.001)
            code = process.wait()
            assert code in (0, -signal.SIGKILL), process.stderr.read() if process.stderr else ""
        if code == 0:
            break
        kills += 1
        if progress.exists():
            saved.append(json.loads(progress.read_text())["characters"])
    assert kills >= 2
    assert saved == sorted(set(saved)) and saved[0] > 0  # each went on where the last was
    assert content_of(tmp_path / "killed" / "shards" / whole.folder.name) == content_of(whole.folder)
    assert [entry.name for entry in (tmp_path / "killed" / "shards").iterdir()] == [whole.folder.name]


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("pieces", [1, 7, 45])
def test_what_is_read_before_a_lost_connection_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: bool, pieces: int
):
    corpus = of_documents(TEXTS, 50) if many else of_one("".join(TEXTS), 50)
    reads: list[Place | None] = []

    def failing(after: Place | None) -> Iterator[Piece]:
        reads.append(after)
        for number, piece in enumerate(corpus.pieces(after)):
            if len(reads) <= 3 and number == pieces:
                raise UserError("the connection is gone")
            yield piece

    stream = functools.partial(encode.encode_stream, batch_size=60)
    monkeypatch.setattr(make, "encode_stream", stream)
    folders = []
    for cache, read in (("whole", corpus.pieces), ("failing", failing)):
        monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / cache))
        here = Corpus(corpus.name, corpus.hash, read, corpus.characters)
        monkeypatch.setattr(shards, "corpus_of", lambda *_, here=here, **__: here)
        for _ in range(3 if cache == "failing" else 0):
            with pytest.raises(UserError, match="the connection is gone"):
                prepare(DataConfig("documents"), tokenizer=TOKENIZER)
        folders.append(prepare(DataConfig("documents"), tokenizer=TOKENIZER).folder)
    assert content_of(folders[0]) == content_of(folders[1])
    places = [place for place in reads if place is not None]
    assert len(places) == (0 if pieces == 1 else 3)  # one piece makes no batch
    assert places == sorted(set(places))
