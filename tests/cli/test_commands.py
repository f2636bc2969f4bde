"""The commands for real, on a tiny model: what they write, print and return."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jaxdec.cli.main import main
from jaxdec.config.yaml import load_config
from tests.cli.conftest import TINY


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Runs a command with --json; returns its result and what it told the user."""

    def run_command(*words: object) -> tuple[dict[str, Any], str]:
        assert main([*map(str, words), "--json"]) == 0
        captured = capsys.readouterr()
        assert captured.out.count("\n") == 1
        return json.loads(captured.out), captured.err

    return run_command


def test_train_writes_the_run_directory_and_ends_with_the_figures(run: Any, corpus: Path, tmp_path: Path) -> None:
    summary, told = run("train", "char-gpt", *TINY, "--data.corpus", corpus, "--out", tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"config.yaml", "metrics.jsonl", "checkpoints", "tokenizer", "loss.png", "summary.json"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {10, 20} <= {line["step"] for line in lines if "loss" in line}
    assert summary["steps"] == 20
    assert summary["sweep_loss"] < lines[0]["loss"]
    assert json.loads((tmp_path / "run" / "summary.json").read_text()).items() <= summary.items()
    assert load_config(tmp_path / "run" / "config.yaml").model.width == 16
    assert "step 20/20" in told
    assert "sample" in told
    assert summary["sample"] in told


def test_prepare_says_what_it_wrote_and_where(run: Any, corpus: Path) -> None:
    result, told = run("prepare", "--data.corpus", corpus)
    text = corpus.read_text()
    assert result["train_tokens"] + result["validation_tokens"] == len(text)
    assert Path(result["folder"]).is_dir()
    assert result["folder"] in told


def test_evaluate_gives_what_training_ended_with(run: Any, trained: Path) -> None:
    result, told = run("evaluate", trained)
    summary = json.loads((trained / "summary.json").read_text())
    assert result["sweep_loss"] == pytest.approx(summary["sweep_loss"], rel=1e-6)
    assert f"{result['sweep_loss']:.4f}" in told
    earlier = run("evaluate", trained, "--step", 10)[0]
    assert earlier["sweep_loss"] > result["sweep_loss"]


def test_generate_streams_what_it_returns(run: Any, trained: Path) -> None:
    words = ("generate", trained, "--prompt", "10 and", "--prompt", "2", "--max-tokens", "12", "--seed", "4")
    result, told = run(*words)
    assert [text["prompt"] for text in result["texts"]] == ["10 and", "2"]
    for text in result["texts"]:
        assert len(text["continuation"]) == 12
        assert text["prompt"] + text["continuation"] in told
    assert run(*words)[0] == result
    assert run(*words, "--greedy")[0] == run(*words, "--temperature", "0")[0]


def test_a_run_that_is_interrupted_and_resumed_ends_like_one_that_is_not(
    run: Any, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "20")
    (tmp_path / "run" / "summary.json").unlink()
    resumed, told = run("resume", tmp_path / "run")
    uninterrupted = json.loads((trained / "summary.json").read_text())
    assert resumed["sweep_loss"] == uninterrupted["sweep_loss"]
    assert "resumed at step 10" in told

    def losses(folder: Path) -> list[tuple[int, float]]:
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [(line["step"], line["loss"]) for line in lines if "loss" in line]

    assert losses(tmp_path / "run") == losses(trained)
