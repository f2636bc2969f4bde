"""The contract of stages: a new one is one file, and the loop, accumulation, resuming and evaluation hold for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.cli.summary import show_summary
from jaxdec.config.model import DecoderConfig, EncoderDecoderConfig
from jaxdec.config.run import DataConfig, MeshConfig, OptimConfig, RunConfig, TrainConfig
from jaxdec.config.stages import AnyStage, Pretrain, Translate
from jaxdec.config.yaml import config_from_dict, config_to_dict
from jaxdec.data.batches import Batch
from jaxdec.distributed.sharding import make_mesh
from jaxdec.errors import UserError
from jaxdec.models.functional import Params
from jaxdec.runs.directory import require_run
from jaxdec.stages.registry import STAGES, stage_module
from jaxdec.stages.run import evaluate, open_stage, resume, train
from jaxdec.training.learner import Learner
from jaxdec.training.loop import Trainer, make_run_steps
from jaxdec.training.losses import LANGUAGE, token_losses
from jaxdec.training.stage import Apply, Objective
from jaxdec.training.state import create_state
from tests import tiny
from tests.stages.majority import Letters, Majority, counted_sequences, registered, sequence_loss

RUN = RunConfig(
    model=DecoderConfig(layers=1, heads=2, width=16, context=8),
    data=DataConfig(corpus="letters"),
    stage=Majority(),
    optim=OptimConfig(learning_rate=1e-2, warmup_steps=5),
    train=TrainConfig(
        steps=120, tokens_per_step=32 * 8, steps_per_dispatch=20, log_every=20, eval_every=60, checkpoint_every=60
    ),
    mesh=MeshConfig(data=1),
)


@pytest.fixture
def majority() -> Iterator[None]:
    with registered():
        yield


@pytest.mark.usefixtures("majority")
def test_a_new_stage_trains_resumes_and_is_evaluated(tmp_path: Path) -> None:
    run = tmp_path / "run"
    summary = train(RUN, run)
    assert summary["accuracy"] > 0.9
    assert require_run(run).stage == Majority()
    assert evaluate(run) == {"step": 120, "accuracy": summary["accuracy"]}
    reports = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in reports if "accuracy" in line] == [60, 120]

    assert show_summary(summary, run) == summary, "there is no sample for a stage that nothing shows one of"

    whole, _ = restore_params(run / "checkpoints")
    shutil.rmtree(run / "checkpoints" / "120")
    again = resume(run, require_run(run))
    assert again["accuracy"] == summary["accuracy"]
    for name, param in restore_params(run / "checkpoints")[0].items():
        assert np.asarray(param).tobytes() == np.asarray(whole[name]).tobytes(), name


# Two sequences a pair, and two forward passes: as a loss of preferences has them.

OTHERS = tiny.generic_params(tiny.model(), seed=1)


def preference_loss(
    apply: Apply, params: Params, batch: Batch, key: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    def log_p(params: Params, tokens_BT: jax.Array) -> jax.Array:
        logits_BTV = apply(params, {"tokens": tokens_BT}).logits_BTV
        return -jnp.sum(token_losses(logits_BTV[:, :-1], tokens_BT[:, 1:]), axis=-1)

    chosen, rejected = batch["chosen"], batch["rejected"]
    margin_B = log_p(params, chosen) - log_p(params, rejected) - log_p(OTHERS, chosen) + log_p(OTHERS, rejected)
    counted_B = batch["counted"]
    wins = jnp.sum((margin_B > 0) * counted_B)
    return -jnp.sum(jax.nn.log_sigmoid(0.1 * margin_B) * counted_B), {"wins": wins}


def preferences() -> Batch:
    counted = np.array([1, 1, 1, 1, 0, 1, 0, 0], np.float32)
    return {"chosen": tiny.tokens(8, 8, 1), "rejected": tiny.tokens(8, 8, 2), "counted": counted}


CASES: dict[str, tuple[Objective, Batch]] = {
    "targets": (LANGUAGE, tiny.batch(8, 8)),
    "sequences": (
        Objective(sequence_loss, counted_sequences),
        Letters(None, 8, 3).batch(8, seed=0, step=0),  # type: ignore[arg-type]  # no text, no tokenizer
    ),
    "pairs": (Objective(preference_loss, lambda batch: batch["counted"].sum()), preferences()),
}


def after_one_sgd_step(name: str, mesh_config: MeshConfig, parts: int) -> tuple[Params, dict[str, float]]:
    """With plain SGD at rate 1 the update is minus the gradient."""
    objective, batch = CASES[name]
    learner, mesh = Learner(tiny.model(), optax.sgd(1.0), objective), make_mesh(mesh_config)
    cut = {key: leaf.reshape(1, parts, 8 // parts, *leaf.shape[1:]) for key, leaf in batch.items()}
    with jax.set_mesh(mesh):
        state = create_state(learner, mesh, seed=0)
        state, metrics = make_run_steps(learner, mesh)(state, cut, np.int32(1), jax.random.key(0))
    return jax.device_get(state["params"]), {key: float(value[0]) for key, value in metrics.items()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("mesh", "parts"), [(MeshConfig(data=2, fsdp=2), 2), pytest.param(MeshConfig(data=1), 4, marks=pytest.mark.long)]
)
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(name: str, mesh: MeshConfig, parts: int) -> None:
    params, metrics = after_one_sgd_step(name, MeshConfig(data=1), 1)
    cut_params, cut_metrics = after_one_sgd_step(name, mesh, parts)
    for key, value in params.items():
        np.testing.assert_allclose(cut_params[key], value, rtol=1e-5, atol=2e-6, err_msg=key)
    assert cut_metrics == pytest.approx(metrics, rel=1e-5)


def test_a_run_without_a_folder_yields_what_a_run_directory_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny.run_config(mesh=MeshConfig(data=1))
    train(config, tmp_path / "run")
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    trainer = Trainer(*open_stage(config))
    trainer.start()
    reports = list(trainer.run())
    assert not list(Path().iterdir()) and trainer.step == 20
    assert [computed({"step": step} | row) for step, row in reports] == [computed(line) for line in logged]


def computed(line: dict[str, Any]) -> dict[str, Any]:
    """A line of the log without what a clock measured."""
    return {name: value for name, value in line.items() if "second" not in name and "flops" not in name}


def test_a_run_can_be_told_to_stop_and_go_on() -> None:
    config = tiny.run_config(mesh=MeshConfig(data=1))
    trainers = [Trainer(*open_stage(config)) for _ in range(2)]
    for trainer in trainers:
        trainer.start()
    list(trainers[0].run())
    answers = iter([False, True])
    list(trainers[1].run(is_stopped=lambda: next(answers)))
    assert trainers[1].stopped and trainers[1].step == 8
    list(trainers[1].run())
    assert not trainers[1].stopped
    for name, param in trainers[0].state["params"].items():
        assert np.array_equal(param, trainers[1].state["params"][name]), name


@pytest.mark.parametrize("corpus", ["modular", "reverse"])
def test_every_program_is_compiled_once_in_a_run(corpus: str, caplog: pytest.LogCaptureFixture) -> None:
    model: Any = EncoderDecoderConfig(1, 2, 16, 16) if corpus == "reverse" else tiny.run_config().model
    config = tiny.run_config(
        model=model,
        data=DataConfig(corpus),
        mesh=MeshConfig(data=1),
        train=replace(tiny.TRAIN, tokens_per_step=128, eval_every=5, log_every=5),
    )
    trainer = Trainer(*open_stage(config))
    trainer.start()
    with jax.log_compiles(), caplog.at_level("WARNING", "jax"):
        reports = list(trainer.run())
    assert len(reports) == 4 + 4, "a report and an evaluation every 5 steps"
    compiled = [r.args[0] for r in caplog.records if "Compiling" in r.getMessage()]  # type: ignore[index]
    ours = [
        name for name in map(str, compiled) if any(part in name for part in ("run_steps", "losses", "scores", "right"))
    ]
    assert len(ours) == len(set(ours)) == (2 if corpus == "reverse" else 3), compiled


# Which stage a run has


def test_every_stage_of_the_config_has_a_module() -> None:
    assert [stage.kind for stage in get_args(AnyStage)] == list(STAGES)
    for stage in (Pretrain(), Translate()):
        assert all(hasattr(stage_module(stage), name) for name in ("load_data", "make_stage"))


def test_a_stage_without_a_module_is_an_error() -> None:
    known = ", ".join(sorted(STAGES))
    with pytest.raises(UserError, match=rf"there is no stage of kind 'majority' \(known: {known}\)"):
        stage_module(Majority())  # type: ignore[arg-type]


def test_a_config_without_a_stage_has_that_of_its_model() -> None:
    plain = config_to_dict(tiny.run_config())
    old = {key: value for key, value in plain.items() if key not in ("stage", "init_from", "trainable")}
    assert config_from_dict(old) == tiny.run_config()
    assert config_from_dict(old).resolved_stage == Pretrain()
    pairs = tiny.run_config(model=EncoderDecoderConfig(1, 2, 16, 8))
    assert pairs.check().resolved_stage == Translate()


@pytest.mark.parametrize(
    ("model", "stage", "fitting"),
    [(EncoderDecoderConfig(1, 2, 16, 8), Pretrain(), "translate"), (tiny.MODEL, Translate(), "pretrain")],
)
def test_a_stage_that_does_not_fit_the_model_is_one_line(model: Any, stage: Any, fitting: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        train(tiny.run_config(model=model, stage=stage), tmp_path / "run")
    assert str(error.value) == (
        f"stage {stage.kind} does not train a model of kind {model.kind}: leave the stage out, or give "
        f"--stage {fitting}"
    )
    assert not (tmp_path / "run").exists()
