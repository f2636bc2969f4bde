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


def test_a_finished_run_goes_on_for_longer(run: Any, trained: Path, tmp_path: Path) -> None:
    """As long as is asked, with the schedule of that length; the files say the truth, and time adds up."""
    folder = shutil.copytree(trained, tmp_path / "run")
    longer, told = run("resume", folder, "--train.steps", 40, "--train.checkpoint-every", 20)
    assert "change  train.steps: 20 -> 40" in told
    assert "its cosine ends at step 40, no more at 20 (optim.decay_steps)" in told
    assert "resumed at step 20" in told and "step 40/40" in told
    assert longer["steps"] == 40
    first = json.loads((trained / "summary.json").read_text())
    assert longer["sweep_loss"] < first["sweep_loss"]
    assert longer["seconds"] > first["seconds"] / 2, "up to the last save of the first part, and all of the second"
    assert load_config(folder / "config.yaml").train.steps == 40
    assert sorted(int(path.name) for path in (folder / "checkpoints").iterdir()) == [20, 40]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "sweep_loss" in line] == [20, 40]
    rates = {line["step"]: line["learning_rate"] for line in lines if "loss" in line}
    assert rates[20] < rates[30] and rates[40] < rates[30], "the cosine of 40 steps, from step 20 on"
    assert run("resume", folder)[0]["sweep_loss"] == longer["sweep_loss"], "and nothing is left to do"


def test_the_time_of_every_part_of_a_run_is_added_up(run: Any, trained: Path, tmp_path: Path) -> None:
    """Checkpoints carry it, so that a kill does not lose it: here the first part is made to have lasted a day."""
    from jaxdec.checkpoints import checkpoints

    save = checkpoints.Checkpoints.save

    def as_if_for_a_day(self: Any, step: int, state: Any, meta: dict[str, Any]) -> None:
        save(self, step, state, {**meta, "seconds": meta["seconds"] + 86400})

    folder = shutil.copytree(trained, tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", as_if_for_a_day)
        assert run("resume", folder, "--train.steps", 24)[0]["seconds"] < 86400
    total = run("resume", folder, "--train.steps", 28)[0]["seconds"]
    assert 86400 < total < 2 * 86400
    assert json.loads((folder / "summary.json").read_text())["seconds"] == total


def test_a_short_run_without_looks(run: Any, tmp_path: Path) -> None:
    """The recipe's warm-up follows, with a line; no validation, no sweep and no sample."""
    small = ("--model.layers", 1, "--model.heads", 2, "--model.width", 16)
    words = ("--train.steps", 20, "--train.evaluate", "none", "--out", tmp_path / "run")
    summary, told = run("train", "char-gpt", *small, *words)
    assert "warm-up of 1 steps, the recipe's share of 20; its 100 are for 2,000 (optim.warmup_steps)" in told
    assert load_config(tmp_path / "run" / "config.yaml").optim.warmup_steps == 1
    assert "sample" not in summary and "sample" not in told
    assert not any("loss" in name for name in summary)
    assert "validation" not in (tmp_path / "run" / "metrics.jsonl").read_text()
    assert summary["steps"] == 20
