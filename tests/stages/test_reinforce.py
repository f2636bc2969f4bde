"""Reinforcement: it learns, it goes on with the same bits, and says what it cannot work with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MoE
from jaxdec.config.positions import RoPE
from jaxdec.config.reinforce import Reinforce
from jaxdec.config.run import DataConfig, MeshConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.stages import Pretrain
from jaxdec.config.trainable import LoRA
from jaxdec.data.problems import reward_of
from jaxdec.data.tokenizers.char import CharTokenizer
from jaxdec.errors import UserError
from jaxdec.runs.directory import require_run
from jaxdec.stages.reinforce import load_data
from jaxdec.stages.run import evaluate, open_training, resume, train
from jaxdec.training.loop import Trainer
from jaxdec.training.torch_state import learner_of

SOURCE = RunConfig(
    model=DecoderConfig(layers=1, heads=2, width=16, context=12, position=RoPE(), init_std=0.2),
    data=DataConfig("modular:3"),
    optim=OptimConfig(learning_rate=1e-2, warmup_steps=5, weight_decay=0.0),
    train=TrainConfig(steps=30, tokens_per_step=12 * 12, steps_per_dispatch=15, evaluate="none"),
    mesh=MeshConfig(data=1),
)
RUN = replace(
    SOURCE,
    data=DataConfig("modular:3", window=6),
    stage=Reinforce(group=8, updates=2, kl=0.01),
    optim=OptimConfig(learning_rate=1e-2, min_learning_rate=1e-2, warmup_steps=0, weight_decay=0.0),
    train=TrainConfig(
        steps=40, tokens_per_step=72 * 6, steps_per_dispatch=3, log_every=1, eval_every=20, checkpoint_every=20
    ),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows how a sum is written, and not yet what it makes."""
    run = tmp_path_factory.mktemp("source") / "run"
    train(SOURCE, run)
    return run


@pytest.fixture(scope="module")
def learned(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    run = tmp_path_factory.mktemp("learned") / "run"
    return run, train(replace(RUN, init_from=str(source)), run)


def lines(run: Path) -> list[dict[str, Any]]:
    """The log without what a clock measured."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in row.items() if "second" not in name and "flops" not in name} for row in rows
    ]


def test_answers_become_right_by_rewards_alone(learned: tuple[Path, dict[str, Any]]) -> None:
    run, summary = learned
    log = lines(run)
    assert log[0].keys() == {"step", "greedy_accuracy"} and log[0]["step"] == 0
    right = summary["greedy_accuracy"]
    assert log[0]["greedy_accuracy"] < 0.7 and right > 0.8, "of nine sums; one that is never right stays wrong"
    assert evaluate(run)["greedy_accuracy"] == right
    answers = [json.loads(line) for line in (run / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == 9 and sum(row["answer"] == row["right"] for row in answers) == round(9 * right)
    assert (run / "reward.png").read_bytes().startswith(b"\x89PNG")


def test_the_log_has_what_a_reader_looks_for(learned: tuple[Path, dict[str, Any]]) -> None:
    rows = [row for row in lines(learned[0]) if "reward" in row]
    assert [row["step"] for row in rows] == list(range(1, 41))
    first, second = rows[0], rows[2]
    assert first["kl"] == 0.0 < second["kl"], "the start is the start, to the bit"
    assert first["clipped_share"] == 0.0 and first["policy_gain"] == pytest.approx(0, abs=1e-6)
    assert all(0 <= row["sampler_difference"] < 1e-5 for row in rows), "in float32"
    assert all(1 <= row["answer_tokens"] <= 2 for row in rows)
    assert max(row["clipped_share"] for row in rows) > 0, "a second update on the same answers clips"
    assert (
        rows[-1]["reward"] > first["reward"] + 0.2
        and rows[-1]["groups_without_spread"] > first["groups_without_spread"]
    )
    for before, after in zip(rows[::2], rows[1::2], strict=True):
        assert before["reward"] == after["reward"], "two updates on one rollout"


def test_a_run_that_was_cut_goes_on_with_the_same_bits(learned: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    whole, _ = learned
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shutil.rmtree(run / "checkpoints" / "40")
    resume(run, require_run(run))
    expected, _ = restore_params(whole / "checkpoints")
    for name, param in restore_params(run / "checkpoints")[0].items():
        assert np.asarray(param).tobytes() == np.asarray(expected[name]).tobytes(), name
    assert lines(run) == lines(whole)
    states = [
        json.loads((folder / "checkpoints" / "40" / "meta" / "metadata").read_text())["integrity"]["leaves"]
        for folder in (run, whole)
    ]
    assert states[0] == states[1], "the first parameters too"


def test_under_a_lora_the_base_is_the_start_and_stays_as_it_is(source: Path) -> None:
    config = replace(
        RUN,
        init_from=str(source),
        trainable=LoRA(rank=4),
        train=replace(RUN.train, steps=4, eval_every=2, checkpoint_every=4, evaluate="none"),
    )
    config, stage, initial = open_training(config)
    trainer = Trainer(config, stage)
    assert initial is not None
    trainer.start(initial())
    base = restore_params(source / "checkpoints")[0]
    rows = [values for _, values in trainer.run() if "kl" in values]
    assert rows[0]["kl"] == 0.0 < rows[-1]["kl"]
    assert all(".lora_" in name for name in trainer.state["first"]), "no second copy of the model"
    for name, param in base.items():
        assert np.asarray(param).tobytes() == np.asarray(trainer.state["params"][name]).tobytes(), name


def test_a_start_that_never_scores_is_said_in_one_line(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for answers whose character no model writes."""
    _, stage, initial = open_training(replace(RUN, init_from=str(source)))
    assert initial is not None and stage.rollouts is not None
    problems: Any = stage.rollouts.make.problems  # type: ignore[attr-defined]
    problems.train[:] = [problem._replace(answer="?") for problem in problems.train]
    params = initial()
    for step in (0, 2):
        batch, values = stage.rollouts.make(params, params, stage.batch(0, step), step)
        assert values["groups_without_spread"] == 1.0 and not batch["advantage"].any()
    told = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(told) == 1 and "none of the 72 answers sampled at step 0 is right, so that they teach nothing" in told[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"init_from": None}, "stage reinforce starts from a model that is right now and then: give --init-from RUN"),
        ({"data": DataConfig("markov")}, "no answers that can be checked: give --data.corpus modular, reverse or sort"),
        ({"data": DataConfig("reverse", window=6)}, "is not in the tokenizer's vocabulary"),
        (
            {"data": DataConfig("modular:5", window=6)},
            "the corpus modular:5, in the tokens of init_from: the character",
        ),
        ({"data": DataConfig("modular:3", window=3)}, "a prompt of 4 tokens and an answer of 2 do not fit the window"),
        ({"stage": Reinforce(group=7, updates=2)}, "a step of 72 sequences (train.tokens_per_step / window) has no"),
        (
            {"stage": Reinforce(group=8, answer_tokens=1)},
            "stage.answer_tokens 1: the right answers of modular:3 have up to 2",
        ),
        ({"stage": Reinforce(group=8, updates=3)}, "train.steps 40 is not a multiple of the 3 updates on one rollout"),
    ],
)
def test_what_cannot_work_is_one_line(changes: dict[str, Any], said: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        train(replace(RUN, **{"init_from": str(source), **changes}), tmp_path / "run")
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"group": 1}, "stage.group is 1: an answer is compared with the others of its group; give 2 or more"),
        ({"clip": 1.0}, "stage.clip is 1.0: give a number between 0 and 1"),
        ({"kl": -1.0}, "stage.kl is -1.0: give 0, for none, or more"),
        ({"temperature": 0.0}, "stage.temperature is 0.0: give a positive number"),
        ({"updates": 0}, "stage.updates is 0: give a whole number from 1"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        Reinforce(**changes)
    assert str(error.value) == said


def test_experts_that_drop_tokens_are_refused() -> None:
    config = replace(RUN, model=replace(SOURCE.model, mlp=MoE(experts=2, top_k=1)), init_from="experts")
    with pytest.raises(UserError, match=r"stage reinforce wants model\.mlp\.eval_capacity_factor None"):
        load_data(config, from_file=None, tokenizer=CharTokenizer.train("\n+=012"))


def test_a_checkpoint_of_another_stage_is_not_gone_on_with(source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(source, run)
    config = replace(RUN, init_from=str(source), train=RUN.train)
    with pytest.raises(UserError, match=r"config.yaml changed since checkpoint 30 \(.*stage"):
        resume(run, config)
    assert require_run(run).resolved_stage == Pretrain()


def test_a_training_state_without_the_start_is_refused() -> None:
    with pytest.raises(UserError, match="stage reinforce keeps the first parameters beside the newest ones"):
        learner_of(RUN)


@pytest.mark.parametrize(
    ("text", "exact", "partial"),
    [("abc", 1, 1), ("abd", 0, 2 / 3), ("ab", 0, 2 / 3), ("abcd", 0, 3 / 4), ("bca", 0, 0), ("", 0, 0), (None, 0, 0)],
)
def test_what_an_answer_is_worth(text: str | None, exact: float, partial: float) -> None:
    assert reward_of(text, "abc", "exact") == exact
    assert reward_of(text, "abc", "partial") == pytest.approx(partial)
