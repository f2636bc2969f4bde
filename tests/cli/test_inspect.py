"""`jaxdec inspect`: what it prints, returns and writes, and everything that can be wrong with what it is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jaxdec.cli.main import main
from jaxdec.config.yaml import save_config
from jaxdec.recipes import load_recipe
from tests.cli.conftest import Refused


def test_a_text_is_inspected(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "out"
    words = ["inspect", trained, "--prompt", "12 and 13 and 14 and", "--head", 1, "--top", 2, "--out", out, "--json"]
    assert main([*map(str, words)]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["left_out"] == 4 and "tokens read: 16 (the first of 20: the model's context is 16)" in captured.err
    assert [each["label"] for each in result["tokens"]] == list("12␣and␣13␣and␣14"[:16])
    assert [len(each) for each in (result["lens"], result["lens"][0], result["next"][0]["top"])] == [2, 16, 2]
    assert result["next"][-1]["true"] is None and 0 < result["next"][0]["true"]["probability"] < 1
    assert list(result["attention"]) == ["0.1"]
    weights = result["attention"]["0.1"]
    for query, row in enumerate(weights):
        assert sum(row) == pytest.approx(1, abs=1e-5) and all(weight == 0 for weight in row[query + 1 :])
    (link,) = result["links"]
    assert link["weight"] == pytest.approx(weights[link["query"]][link["key"]])
    assert link["weight"] == max(row[key] for query, row in enumerate(weights) for key in range(query) if query > 1)
    (head,) = result["heads"]
    assert head["itself"] == pytest.approx(sum(weights[each][each] for each in range(1, 16)) / 15)
    assert head["previous"] == pytest.approx(sum(weights[each][each - 1] for each in range(1, 16)) / 15)
    assert sum(head[name] for name in ("itself", "previous", "first", "others", "sink")) == pytest.approx(1)
    assert result["files"] == [str(out / name) for name in ("attention_00.png", "inspect.html", "lens.png")]
    assert [str(path) for path in sorted(out.iterdir())] == result["files"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is no text to read: jaxdec inspect {run} --prompt TEXT"),
        (["--prompt", ""], "there is no text to read"),
        (["--prompt", "1", "--layer", 1], "--layer 1: this model has layers 0 to 0"),
        (["--prompt", "1", "--head", -1], "--head -1: this model has heads 0 to 1"),
        (["--prompt", "1 Q"], "the character 'Q' (offset 2, line 1, column 3) is not in the tokenizer's vocabulary"),
        (["--prompt", "1", "--most", 0], "most is 0: give a whole number from 1"),
        (["--prompt", "1", "--top", 0], "top is 0: give a whole number from 1"),
        (["--prompt", "1", "--out", "{run}"], "{run} exists already: choose another --out"),
        (["--prompt", "1", "--heads", 1], "unknown flag --heads (did you mean '--head'?)"),
        (["--prompt", "1", "--step", 7], "7"),
    ],
)
def test_one_line_for_what_is_wrong(trained: Path, refused: Refused, words: list[object], said: str) -> None:
    before = sorted(trained.rglob("*"))
    line = refused("inspect", trained, *(str(word).format(run=trained) for word in words))
    assert said.format(run=trained) in line
    assert sorted(trained.rglob("*")) == before


def test_models_that_cannot_be_shown(refused: Refused, tmp_path: Path) -> None:
    assert refused("inspect").startswith("give the run directory")
    assert "does not exist" in refused("inspect", tmp_path / "nowhere", "--prompt", "a")
    for recipe, words, said in (
        ("reverse", [], "this is an encoder-decoder, which reads two texts"),
        ("bigram", ["--layer", 0], "a bigram model has no attention: leave --layer and --head out"),
    ):
        (tmp_path / recipe).mkdir()
        save_config(load_recipe(recipe), tmp_path / recipe / "config.yaml")
        assert said in refused("inspect", tmp_path / recipe, "--prompt", "a", *words)
