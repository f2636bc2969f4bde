"""Wrong input of every kind ends in one line, exit code 2, and nothing half-written."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from jaxdec.cli.main import main
from jaxdec.runs.lock import locked
from tests.cli.conftest import TINY

Refused = Any


TRAIN = ("train", "char-gpt", *TINY)


@pytest.mark.parametrize(
    ("command", "content", "said"),
    [
        (TRAIN, None, "corpus"),
        (TRAIN, b"", "empty"),
        (TRAIN, b"too short", "short"),
        (TRAIN, b"caf\xe9 " * 1000, "UTF-8"),
        (("prepare",), None, "corpus"),
        (("prepare",), b"", "empty"),
        (("prepare",), b"caf\xe9 " * 1000, "UTF-8"),
    ],
)
def test_a_corpus_that_cannot_be_used(
    command: tuple[str, ...],
    content: bytes | None,
    said: str,
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "corpus.txt").write_bytes(content)
    line = refused(*command, "--data.corpus", "./corpus.txt")
    assert said in line
    assert "corpus.txt" in line or said == "short"  # that depends on the window, and is said of it
    assert {path.name for path in tmp_path.iterdir()} <= {"corpus.txt"}


def test_a_character_in_validation_that_training_never_saw(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("abc " * 500 + "xyz")
    line = refused(*TRAIN, "--data.corpus", path, "--out", tmp_path / "run")
    assert "'x'" in line
    assert not (tmp_path / "run").exists()


def test_a_corpus_of_a_mistyped_name(refused: Refused, tmp_path: Path) -> None:
    line = refused("train", "char-gpt", "--data.corpus", "playlet", "--out", tmp_path / "run")
    assert "did you mean 'playlets'?" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--train.tokens-per-step 80", "divisible by the 4 devices"),
        ("--mesh.data 3", "3"),
        ("--mesh.fsdp 8", "8"),
        ("--train.tokens-per-step 256 --train.microbatch 3", "train.microbatch 3"),
        ("--model.vocab-size 3", "model.vocab_size 3 is smaller"),
        ("--log.wandb True", "log.wandb"),
    ],
)
def test_settings_that_do_not_fit_the_machine_or_the_data(
    words: str, said: str, refused: Refused, corpus: Path, tmp_path: Path
) -> None:
    line = refused(*TRAIN, "--data.corpus", corpus, "--out", tmp_path / "run", *words.split())
    assert said in line
    assert not (tmp_path / "run").exists()


def test_a_run_directory_that_cannot_be_made(refused: Refused, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    line = refused(*TRAIN, "--data.corpus", corpus, "--out", tmp_path / "file" / "run")
    assert "file/run" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--temperature -0.1", "temperature is -0.1"),
        ("--top-k 0", "top-k is 0"),
        ("--top-p 0", "top-p is 0"),
        ("--top-p 1.1", "top-p is 1.1"),
        ("--min-p -1", "min-p is -1"),
        ("--max-tokens -1", "max-tokens is -1"),
        ("--prompt Zebra", "'Z'"),
        ("--stop é", "'é'"),
        ("--step 7", "7"),
    ],
)
def test_generation_that_cannot_work(words: str, said: str, refused: Refused, trained: Path) -> None:
    assert said in refused("generate", trained, *words.split())


@pytest.mark.parametrize("command", ["evaluate", "generate"])
def test_a_run_without_checkpoints(command: str, refused: Refused, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert "checkpoint" in refused(command, tmp_path / "run")


def test_resume_of_a_run_whose_config_changed(refused: Refused, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("weight_decay: 0.1", "weight_decay: 0.2"))
    assert "optim.weight_decay: 0.1 -> 0.2" in refused("resume", tmp_path / "run")


def test_resume_of_a_run_whose_tokenizer_changed(refused: Refused, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    for path in (tmp_path / "run" / "tokenizer").iterdir():
        path.write_text(path.read_text().replace("a", "b"))
    assert "tokenizer" in refused("resume", tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", ""), "the recipe's name is empty: give one of "),
        (("train", "char-gpt", "--out", ""), "--out is empty: give a path"),
        (("train", "char-gpt", "--from-file", ""), "--from-file is empty: give a path"),
        (("train", "--config", "", "--out", "run"), "--config is empty: give a path"),
        (("train", "char-gpt", "--data.corpus", "", "--out", "run"), "data.corpus is empty"),
        (("resume", ""), "RUN is empty"),
        (("evaluate", ""), "RUN is empty"),
        (("generate", ""), "RUN is empty"),
        (("ladder", "--out", ""), "--out is empty: give a path"),
    ],
)
def test_an_empty_name_or_path(
    words: tuple[str, ...], said: str, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would mean the current folder."""
    monkeypatch.chdir(tmp_path)
    assert said in refused(*words)
    assert list(tmp_path.iterdir()) == []


def test_a_warmup_that_the_user_chose_stays(refused: Refused, tmp_path: Path) -> None:
    words = ("--train.steps", "20", "--optim.warmup-steps", "100", "--out", tmp_path / "run")
    assert "optim.warmup_steps 100 is longer than the schedule of 20 steps" in refused("train", "char-gpt", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model.width 8", "a resumed run keeps its settings, --model.width included"),
        ("--optim.beta1 0.5", "a resumed run keeps its settings, optim.beta1: 0.9 -> 0.5 included"),
        ("--train.seed 1", "train.seed: 1337 -> 1 included"),
        ("--train.steps 15", "has trained 20 steps already: give a train.steps that is not below that, not 15"),
        ("--train.step 30", "did you mean '--train.steps'?"),
    ],
)
def test_what_a_resumed_run_keeps(words: str, said: str, refused: Refused, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    before = {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    assert said in refused("resume", run, *words.split())
    assert {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()} == before


def test_a_second_writer_is_told_who_is_at_work(refused: Refused, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    with locked(run):
        said = f"{run} is being written by process {os.getpid()} on {socket.gethostname()}, since "
        assert refused("resume", run).startswith(said)
        assert refused("train", "char-gpt", "--out", run).startswith(said)
        assert main(["evaluate", str(run)]) == 0, "who only reads is not held up"
