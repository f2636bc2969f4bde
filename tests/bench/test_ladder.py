"""The table of the ladder is the recipes' models, and climbing it compares runs that can be compared."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jaxdec.bench.ladder import ASIDE, CLIMB, climb, rung_config
from jaxdec.cli.main import main
from jaxdec.config.run import DataConfig, TrainConfig
from jaxdec.errors import UserError
from jaxdec.models.ladder import LADDER
from jaxdec.recipes import load_recipe, recipe_names

RECIPES = {"encoder-decoder": "reverse"}  # where the recipe is named after its task
TRAIN = TrainConfig(
    steps=6, tokens_per_step=768, log_every=6, eval_every=6, eval_batches=1, checkpoint_every=3, steps_per_dispatch=3
)


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    path = tmp_path / "counting.txt"
    path.write_text("".join(f"{number} and {number + 1} and\n" for number in range(10, 90)) * 3)
    return DataConfig(str(path), sweep_stride=16)


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)
def test_every_rung_is_the_model_of_its_recipe(rung: Any) -> None:
    assert load_recipe(RECIPES.get(rung.name, rung.name)).model == rung.config
    assert len(rung.adds) <= 55, "one line of `jaxdec list`"


def test_names_are_those_of_the_ladder() -> None:
    names = [rung.name for rung in LADDER]
    assert len(set(names)) == len(names)
    assert set(CLIMB) - set(names) == {"small-modern"}
    assert set(ASIDE) <= set(names) & set(recipe_names())


@pytest.mark.parametrize("name", [*CLIMB, *ASIDE])
def test_rungs_differ_in_model_and_learning_rate_alone(name: str, data: DataConfig) -> None:
    config = rung_config(name, data, TRAIN)
    recipe = load_recipe("char-gpt" if name == "small-modern" else name)
    assert config.train == TRAIN
    assert config.data == dataclasses.replace(data, sweep_stride=min(16, config.window))
    assert config.optim == dataclasses.replace(recipe.optim, warmup_steps=0)
    assert config.model.vocab_size is None, "the corpus has the same tokens for all"


def test_a_climb_leaves_runs_a_table_and_a_picture(data: DataConfig, tmp_path: Path) -> None:
    out, names = tmp_path / "out", ["bigram", "single-head"]
    rows = climb(names, data, TRAIN, out, from_file=None)
    assert [row["rung"] for row in rows] == names
    for row in rows:
        summary = json.loads((out / row["rung"] / "summary.json").read_text())
        assert (row["loss"], row["parameters"]) == (summary["sweep_loss"], summary["parameters"])
        assert summary["tokens"] == 6 * 768
        assert (row["floor"], row["excess"]) == (None, None), "that of a text of the user is not known"
    assert rows[0]["flops_per_token"] < rows[1]["flops_per_token"]
    assert json.loads((out / "ladder.json").read_text())["rungs"] == rows
    assert (out / "ladder.png").read_bytes().startswith(b"\x89PNG")

    times = {path: path.stat().st_mtime_ns for path in out.glob("*/*") if path.is_file()}
    assert climb(names, data, TRAIN, out, from_file=None) == rows
    assert {path: path.stat().st_mtime_ns for path in times} == times, "what is finished is not trained again"
    with pytest.raises(UserError, match=r"bigram holds a run with other settings \(train.seed: 1337 -> 1\)"):
        climb(names, data, dataclasses.replace(TRAIN, seed=1), out, from_file=None)

    (out / "single-head" / "summary.json").unlink()
    shutil.rmtree(out / "single-head" / "checkpoints" / "6")
    (out / "bigram" / "summary.json").write_bytes(b'{"steps": 6, \xff')
    resumed = climb(names, data, TRAIN, out, from_file=None)
    assert resumed[0]["loss"] == rows[0]["loss"], "what cannot be read is measured again"
    assert resumed[1]["loss"] == rows[1]["loss"], "what was interrupted goes on where it was"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--rungs bigram,one-blok", "there is no rung 'one-blok' to train briefly (did you mean 'one-block'?)"),
        ("--rungs gpt2", "there is no rung 'gpt2' to train briefly"),
        ("--rungs ,", "--rungs is empty: give names, as --rungs bigram,single-head,multi-head"),
        ("--rungs", "--rungs needs a value: give text or None"),
        ("--data.window 16", "data.window 16 is longer than model.context 8"),
        (
            "--train.tokens-per-step 100",
            "train.tokens_per_step 100 is not a multiple of the window of 8 tokens: try 96",
        ),
        ("--train.evaluate none", "train.evaluate is none: the ladder compares validation losses"),
        ("--train.step 3", "unknown flag --train.step (did you mean '--train.steps'?)"),
        ("--model.width 3", "unknown flag --model.width"),
        ("--out taken", "taken/bigram is not a run directory"),
        ("--data.corpus playlet", "there is neither a corpus nor a file called 'playlet'"),
    ],
)
def test_a_slip_gets_one_line(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken" / "bigram").mkdir(parents=True)
    (tmp_path / "taken" / "bigram" / "notes.txt").write_text("mine")
    assert main(["ladder", *words.split()]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"jaxdec: {said}")
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "bigram", "notes.txt"]


@pytest.mark.long
def test_the_lower_rungs_stand_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On plays, after a third of the default number of tokens; the whole ladder's figures are in docs/ladder."""
    words = ["--rungs", "bigram,one-block", "--train.steps", "300", "--data.validation-fraction", "0.02"]
    assert main(["ladder", *words, "--out", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    losses = [row["loss"] for row in json.loads(captured.out)["rungs"]]
    assert losses == sorted(losses, reverse=True)
    assert all(row["excess"] > 0 for row in json.loads(captured.out)["rungs"])
    assert f"  one-block              60.4K           332K{losses[-1]:>10.4f}" in captured.err
