"""`jaxdec evaluate RUN --suite NAME`: what is printed, written and answered, and one line for what cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from jaxdec.cli.main import main
from jaxdec.evaluation.suites.registry import SUITES
from tests.cli.conftest import Refused

GOOD = '{"context": "10 and", "choices": ["11", "12"], "label": 0}\n'


def test_suites_are_printed_written_and_answered(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "questions.jsonl", tmp_path / "scores.json"
    file.write_text(GOOD * 3, encoding="utf-8")
    words = ["--suite", "loss,choices", "--file", str(file), "--limit", "2", "--out", str(out), "--json"]
    assert main(["evaluate", str(trained), *words]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer == json.loads(out.read_text(encoding="utf-8"))
    assert answer["step"] == 20 and list(answer["suites"]) == ["loss", "choices"]
    assert answer["suites"]["choices"]["questions"] == 2 and "examples" not in answer["suites"]["choices"]
    assert "\nloss: " in captured.err and "bits per byte" in captured.err and "acc norm by tokens" in captured.err
    assert "examples" not in captured.err
    other = tmp_path / "other.txt"
    other.write_text("10 and 11 and\n" * 9, encoding="utf-8")
    assert (
        main(["evaluate", str(trained), "--suite", "loss", "--data.corpus", str(other), "--split", "all", "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)["suites"]["loss"]
    assert found["bytes"] == 14 * 9 - 1 and found["loss"] != answer["suites"]["loss"]["loss"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + '{"context": "10", "choices": ["11"], "label": 0}\n', "line 2 of FILE has a 'choices' that is no list"),
        (GOOD + '{"context": "10", "choices": ["11", "12"]}\n', "line 2 of FILE has no answer"),
        ('{"choices": ["11", "12"], "label": 0}\n', "line 1 of FILE has no field 'context'"),
        (GOOD.replace('"label": 0', '"label": 2'), "line 1 of FILE has 'label' 2: give a whole number from 0 to 1"),
        (GOOD + "nonsense\n", "line 2 of FILE is not JSON"),
        ("", "FILE is empty"),
        (GOOD.replace("11", "eleven @"), "question 1 of FILE: the character"),
    ],
    ids=["one choice", "no answer", "no question", "label outside", "not JSON", "empty", "unknown character"],
)
def test_a_file_of_choices_that_cannot_be_used(
    trained: Path, tmp_path: Path, refused: Refused, content: str, message: str
) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(content, encoding="utf-8")
    line = refused("evaluate", trained, "--suite", "choices", "--file", file)
    assert message.replace("FILE", str(file)) in line


def test_what_cannot_be_asked(trained: Path, tmp_path: Path, refused: Refused) -> None:
    passages = tmp_path / "passages.txt"
    passages.write_text("10 and 11\nword\n", encoding="utf-8")
    cases = {
        "did you mean 'loss'?": ["--suite", "los"],
        "the suite choices needs --file": ["--suite", "choices"],
        "does not exist": ["--suite", "choices", "--file", tmp_path / "missing.jsonl"],
        "is no file of records": ["--suite", "choices", "--file", passages],
        f"line 2 of {passages} has one word": ["--suite", "last_word", "--file", passages],
        "--limit means nothing to loss": ["--suite", "loss", "--limit", "3"],
        "--limit is 0": ["--suite", "positions", "--limit", "0"],
        "there is no folder": ["--suite", "loss", "--out", tmp_path / "missing" / "scores.json"],
        "give a name that ends in .png": ["--suite", "positions", "--plot", tmp_path / "picture.gif"],
        "--limit is for suites": ["--limit", "3"],
        "there is neither a corpus": ["--suite", "loss", "--data.corpus", "nowhere"],
    }
    for message, words in cases.items():
        assert message in refused("evaluate", trained, *words), words


def test_the_suites_stand_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    page = capsys.readouterr().out
    for name in SUITES:
        assert f"{name} (" in " ".join(page.split())


def test_lm_eval_that_is_not_installed_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jaxdec.evaluation.lm_eval.__main__ import main as harness

    monkeypatch.setitem(sys.modules, "lm_eval.__main__", None)
    assert harness() == 2
    told = capsys.readouterr().err
    assert told == "jaxdec: the harness needs lm-eval, which is not installed: pip install 'jaxdec[lm-eval]'\n"
