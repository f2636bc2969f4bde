"""Learning from preferences: the start, what is measured of it, and what a run must not do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.config.decoder import DecoderConfig
from jaxdec.config.preference import DPO, IPO, Preference
from jaxdec.config.run import DataConfig, MeshConfig, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.config.tokenizers import BPE
from jaxdec.config.trainable import Everything, LoRA
from jaxdec.errors import UserError
from jaxdec.runs.directory import require_run
from jaxdec.runs.reference import FILE, read_reference
from jaxdec.stages.run import evaluate, open_training, resume, train
from jaxdec.training.loop import Trainer
from jaxdec.training.preference import pair_scores

WORDS = ("red", "blue", "green", "small", "large", "round")
PAIRS = [
    {"prompt": f"Is it {one} or {two}? ", "chosen": f"It is {one}.", "rejected": f"{two}, I guess."}
    for one in WORDS
    for two in WORDS
    if one != two
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of pairs, and a run to start from."""
    folder = tmp_path_factory.mktemp("preference")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    (folder / "text.txt").write_text("".join(pair["prompt"] + pair["chosen"] + "\n" for pair in PAIRS) * 3)
    start = RunConfig(
        model=DecoderConfig(layers=1, heads=2, width=16, context=32, init_std=0.2),
        data=DataConfig(str(folder / "text.txt"), tokenizer=BPE(300)),
        train=TrainConfig(steps=2, tokens_per_step=64, evaluate="none"),
        optim=OptimConfig(warmup_steps=0),
        mesh=MeshConfig(data=1),
    )
    train(start, folder / "start")
    return folder


def config_of(files: Path, **changes: Any) -> RunConfig:
    start = require_run(files / "start")
    run = replace(
        start,
        stage=Preference(),
        init_from=str(files / "start"),
        data=replace(start.data, corpus=str(files / "pairs.jsonl")),
        train=TrainConfig(
            steps=6, tokens_per_step=4 * 2 * 32, steps_per_dispatch=2, log_every=1, eval_every=4, checkpoint_every=4
        ),
        optim=OptimConfig(learning_rate=1e-2, warmup_steps=0, weight_decay=0.0),
    )
    return replace(run, **changes)


@pytest.fixture(scope="module")
def run(files: Path) -> Path:
    train(config_of(files), files / "run")
    return files / "run"


def lines(run: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, (run / "metrics.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("trainable", "precision"),
    [
        pytest.param(Everything(), "float32", id="kept-float32"),
        pytest.param(LoRA(rank=2), "float64", id="base-float64"),
        pytest.param(Everything(), "float64", id="kept-float64", marks=pytest.mark.long),
        pytest.param(LoRA(rank=2), "float32", id="base-float32", marks=pytest.mark.long),
    ],
)
def test_at_step_0_the_loss_is_log_2_and_the_margin_0(files: Path, precision: Any, trainable: Any) -> None:
    """Exactly, in training and in evaluation, whether the reference is measured beforehand or read beside adapters."""
    with jax.enable_x64(precision == "float64"):
        config = config_of(files, precision=Precision(precision, precision), trainable=trainable)
        config, stage, initial = open_training(replace(config, train=replace(config.train, evaluate="none")))
        trainer = Trainer(config, stage)
        assert initial is not None and (stage.reference is None) == isinstance(trainable, LoRA)
        trainer.start(initial())
        scores = trainer.evaluate(trainer.stage.final_evaluators)
        reports = list(trainer.run())
        log_2 = float(np.log(2, dtype=precision))
    assert scores["test_loss"] == scores["sweep_loss"] == log_2
    assert scores["test_margin"] == scores["validation_margin"] == 0 > scores["test_chosen_log_probability"]
    first, last = reports[0][1], reports[-1][1]
    assert first["loss"] == log_2 and first["margin"] == 0 and first["gradient_norm"] > 0
    assert last["loss"] < 0.99 * log_2 and last["margin"] > 0


def test_a_killed_run_goes_on_with_the_reference_it_had(files: Path, run: Path, tmp_path: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert summary["validation_reward_accuracy"] > 0.5 < summary["test_reward_accuracy"]
    assert summary["test_pairs"] == 3 == summary["validation_pairs"]
    again = tmp_path / "again"
    shutil.copytree(run, again)
    shutil.rmtree(again / "checkpoints" / "6")
    kept = (again / FILE).read_bytes()
    resume(again, require_run(again))
    assert (again / FILE).read_bytes() == kept
    whole, parts = (restore_params(path / "checkpoints")[0] for path in (run, again))
    for name, param in whole.items():
        assert np.asarray(param).tobytes() == np.asarray(parts[name]).tobytes(), name
    assert evaluate(again)["test_margin"] == summary["test_margin"]

    values, _ = read_reference(again) or ({}, "")
    np.savez(again / FILE, allow_pickle=False, data="", **{name: value + 1 for name, value in values.items()})
    shutil.rmtree(again / "checkpoints" / "6")
    with pytest.raises(UserError, match=r"reference\.npz is not the one that the checkpoints were trained with"):
        resume(again, require_run(again))
    (again / FILE).write_bytes(b"PK")
    with pytest.raises(UserError, match=r"reference\.npz is damaged"):
        resume(again, require_run(again))
    (again / FILE).unlink()
    with pytest.raises(UserError, match=r"reference\.npz is missing"):
        resume(again, require_run(again))
    assert evaluate(again)["step"] == 4, "what the start said is measured of the start again"


@pytest.mark.long
def test_a_run_killed_before_its_first_checkpoint_starts_again(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(run, again)
    shutil.rmtree(again / "checkpoints")
    (again / FILE).unlink()
    resume(again, require_run(again))
    assert (again / FILE).read_bytes() == (run / FILE).read_bytes()
    assert [line.get("loss") for line in lines(again)] == [line.get("loss") for line in lines(run)]


def test_the_first_loss_and_margins_by_hand() -> None:
    """Rewards are beta or tau times the log ratio to the reference; IPO begins at (1 / (2 tau))^2."""
    log_p, reference = jnp.array([[-3.0, -4.0], [-5.0, -2.0]]), jnp.array([[-4.0, -4.0], [-4.0, -4.0]])
    start = {loss: pair_scores(loss, reference, reference) for loss in (DPO(), DPO(0.5, 0.3), IPO(0.5))}
    log_2 = float(np.log(np.float32(2)))
    assert [scores["loss"].tolist() for scores in start.values()] == [[log_2] * 2, [log_2] * 2, [1.0] * 2]
    scores = pair_scores(DPO(beta=0.5), log_p, reference)
    assert scores["margin"].tolist() == [0.5, -1.5] and scores["reward_accuracy"].tolist() == [1.0, 0.0]
    assert scores["loss"].tolist() == pytest.approx([np.log(1 + np.exp(-0.5)), np.log(1 + np.exp(1.5))], rel=1e-6)
    assert pair_scores(IPO(tau=0.5), log_p, reference)["loss"].tolist() == [0.0, 16.0]


def refusal(files: Path, tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(UserError) as error:
        train(config_of(files, **changes).check(), tmp_path / "never")
    assert not (tmp_path / "never").exists()
    return str(error.value)


def test_what_cannot_work_is_one_line(files: Path, tmp_path: Path) -> None:
    assert "give --init-from RUN" in refusal(files, tmp_path, init_from=None)
    data = config_of(files).data
    assert "neither a corpus of preferences nor a file called 'embeded' (did you mean 'embedded'?)" in refusal(
        files, tmp_path, data=replace(data, corpus="embeded")
    )
    (files / "bad.jsonl").write_text(json.dumps(PAIRS[0]) + '\n{"prompt": "Who?", "chosen": "I."}\n')
    assert "bad.jsonl" in (said := refusal(files, tmp_path, data=replace(data, corpus=str(files / "bad.jsonl"))))
    assert "line 2" in said and "'rejected'" in said
    (files / "few.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS[:2]))
    assert "2 different prompts" in refusal(files, tmp_path, data=replace(data, corpus=str(files / "few.jsonl")))
    assert "fits the window of 8 tokens" in refusal(files, tmp_path, data=replace(data, window=8))
    train_config = replace(config_of(files).train, tokens_per_step=96)
    assert "the 2 windows of a pair: try 64" in refusal(files, tmp_path, train=train_config)
