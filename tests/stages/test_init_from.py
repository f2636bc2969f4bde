"""A run that starts from another's weights: with the same tokenizer, from the newest good checkpoint, at step 0."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.config.run import DataConfig, MeshConfig, OptimConfig, Precision
from jaxdec.config.tokenizers import BPE
from jaxdec.errors import UserError
from jaxdec.runs.directory import require_run
from jaxdec.stages.run import resume, train
from tests import tiny

CONFIG = tiny.run_config(
    mesh=MeshConfig(data=1), train=replace(tiny.TRAIN, steps=10, checkpoint_every=5, evaluate="none")
)
STILL = OptimConfig(learning_rate=0.0, min_learning_rate=0.0, warmup_steps=0)  # what is loaded stays as it is


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("source") / "run"
    train(CONFIG, run)
    return run


@pytest.fixture
def other(source: Path, tmp_path: Path) -> Iterator[Any]:
    """The config of a run on other data that starts from the source, which nothing changes."""
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    yield replace(CONFIG, data=DataConfig("markov:1"), init_from=str(source), optim=STILL)
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("mesh", [MeshConfig(data=1), MeshConfig(data=2, fsdp=2)], ids=["one", "sharded"])
def test_weights_and_tokenizer_are_those_of_the_other_run(
    mesh: MeshConfig, other: Any, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(replace(other, mesh=mesh), tmp_path / "run")
    expected, meta = restore_params(source / "checkpoints")
    params, ours = restore_params(tmp_path / "run" / "checkpoints")
    for name, param in expected.items():
        assert np.asarray(params[name]).tobytes() == np.asarray(param).tobytes(), name
    assert ours["tokenizer"] == meta["tokenizer"] and ours["step"] == 10
    assert f"run     steps 10, from {source}" in capsys.readouterr().out
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["step"] == 10 and first["gradient_norm"] > 0


def test_without_a_checkpoint_yet_it_starts_from_there_again(other: Any, source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(other, run)
    shutil.rmtree(run / "checkpoints")
    resume(run, require_run(run))
    expected, params = (restore_params(path / "checkpoints")[0] for path in (source, run))
    assert all(np.array_equal(params[name], param) for name, param in expected.items())


def test_the_parameters_have_the_type_that_the_run_asks_for(other: Any, source: Path, tmp_path: Path) -> None:
    train(replace(other, precision=Precision(params="bfloat16")), tmp_path / "run")
    params, _ = restore_params(tmp_path / "run" / "checkpoints")
    assert {param.dtype.name for param in params.values()} == {"bfloat16"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"init_from": "nowhere"}, "init_from: nowhere is not a run directory"),
        (
            {"data": DataConfig("markov", tokenizer=BPE(300))},
            "with the tokenizer Characters(), this run asks",
        ),
        (
            {"model": replace(tiny.MODEL, vocab_size=None, width=32)},
            "has shape (16,), the config asks for (32,): the models differ, give",
        ),
        ({"model": replace(tiny.MODEL, vocab_size=None, layers=3)}, "lacks parameter blocks.2."),
        ({"model": replace(tiny.MODEL, vocab_size=None, layers=1)}, "has an unknown parameter blocks.1."),
        ({"data": DataConfig("modular")}, "which the text that its tokenizer was trained on never has"),
    ],
)
def test_weights_that_do_not_fit_are_one_line_before_anything_is_written(
    change: dict[str, Any], said: str, other: Any, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        train(replace(other, **change), tmp_path / "run")
    assert said in str(error.value), str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()
