"""Encoder-decoders on the command line: train, interrupt and resume, evaluate, translate; and what each refuses."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from jaxdec.cli.main import main
from tests.cli.conftest import Refused

# The smallest run with an evaluation and two checkpoints; four pairs a step, one per device.
TINY = [
    *["--model.layers", "1", "--model.heads", "2", "--model.width", "16", "--train.tokens-per-step", "64"],
    *["--train.steps", "20", "--train.checkpoint-every", "10"],
    *["--optim.warmup-steps", "2", "--optim.learning-rate", "1e-2"],
    *["--train.eval-every", "10", "--train.eval-batches", "2"],
]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def run_command(*words: object) -> tuple[dict[str, Any], str]:
        assert main([*map(str, words), "--json"]) == 0
        captured = capsys.readouterr()
        return json.loads(captured.out), captured.err

    return run_command


@pytest.fixture(scope="module")
def reversed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("reverse") / "run"
    assert main(["train", "reverse", *TINY, "--out", str(run_dir)]) == 0
    return run_dir


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_training_learns_and_reports_accuracies(reversed_run: Path) -> None:
    lines = metrics(reversed_run)
    summary = json.loads((reversed_run / "summary.json").read_text())
    assert summary["sweep_loss"] < math.log(27)  # better than a guess among the letters and the end
    assert summary["excess"] == summary["sweep_loss"] and summary["floor"] == 0
    assert 0 < summary["token_accuracy"] < 1 and summary["exact_match"] == 0
    assert summary["dropped_pairs"] == 0 and "bleu" not in summary
    evaluated = next(line for line in lines if "validation_loss" in line)
    assert {"training_loss", "validation_loss", "token_accuracy"} <= evaluated.keys()


def test_evaluate_gives_what_training_ended_with(run: Any, reversed_run: Path) -> None:
    result, told = run("evaluate", reversed_run)
    summary = json.loads((reversed_run / "summary.json").read_text())
    for name in ("sweep_loss", "token_accuracy", "exact_match", "dropped_pairs"):
        assert result[name] == pytest.approx(summary[name], rel=1e-5)
    assert "greedy translations that match exactly" in told


def test_an_interrupted_run_ends_like_one_that_was_not(run: Any, reversed_run: Path, tmp_path: Path) -> None:
    shutil.copytree(reversed_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "20")
    resumed, told = run("resume", tmp_path / "run")
    assert "resumed at step 10" in told
    assert len(resumed["sample"]) == 5
    assert [line["loss"] for line in metrics(tmp_path / "run") if "loss" in line] == [
        line["loss"] for line in metrics(reversed_run) if "loss" in line
    ]
    assert resumed["sweep_loss"] == json.loads((reversed_run / "summary.json").read_text())["sweep_loss"]


def test_translate_prints_what_it_returns(run: Any, reversed_run: Path) -> None:
    words = ("translate", reversed_run, "--text", "abc", "--text", "xyz")
    result, told = run(*words)
    assert [text["text"] for text in result["texts"]] == ["abc", "xyz"]
    assert all(f"{text['text']}  ->  {text['translation']}" in told for text in result["texts"])
    assert run(*words)[0] == result
    greedy = run(*words, "--beam", "1")[0]
    assert greedy["beam"] == 1 and all(text["log_probability"] < 0 for text in greedy["texts"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give what to translate: jaxdec translate"),
        (["--text", "ABC"], "text 1: the character 'A'"),
        (["--text", "abc", "--text", " "], "text 2 is empty"),
        (["--text", "abcdefghijklmnop"], "text 1 has 16 tokens, and the model reads at most 15"),
        (["--text", "abc", "--beam", "0"], "beam is 0: give a whole number from 1"),
        (["--text", "abc", "--length-penalty", "-1"], "length-penalty is -1.0: give 0 or more"),
    ],
)
def test_translate_refuses_in_one_line(refused: Refused, reversed_run: Path, words: list[str], said: str) -> None:
    assert said in refused("translate", reversed_run, *words)


def test_each_kind_of_run_has_its_command(refused: Refused, reversed_run: Path, trained: Path) -> None:
    assert refused("generate", reversed_run).endswith(f"jaxdec translate {reversed_run} --text TEXT")
    assert refused("translate", trained, "--text", "a").endswith(f"jaxdec generate {trained} --prompt TEXT")


def test_a_corpus_without_pairs_is_refused_before_anything_is_written(refused: Refused, tmp_path: Path) -> None:
    line = refused("train", "reverse", *TINY, "--data.corpus", "playlets", "--out", tmp_path / "run")
    assert "an encoder-decoder reads pairs" in line
    assert not (tmp_path / "run").exists()


def test_pairs_of_a_file_are_scored_by_bleu_and_those_too_long_counted(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    lines = [f"{word * times}\t{word.upper() * times}\n" for word in ("ab", "cd", "ef", "gh") for times in range(1, 12)]
    (tmp_path / "pairs.tsv").write_text("".join(lines))
    words = ("--data.corpus", tmp_path / "pairs.tsv", "--data.validation-fraction", "0.4", "--out", tmp_path / "run")
    summary, told = run("train", "reverse", *TINY, *words)
    assert summary["dropped_pairs"] == sum(2 * times > 15 for times in range(1, 12)) * 4
    assert "longer than the window of 16 tokens and left out" in told
    assert 0 <= summary["bleu"] < 100 and "excess" not in summary
    assert run("evaluate", tmp_path / "run")[0]["bleu_signature"].startswith("nrefs:var|case:mixed")
