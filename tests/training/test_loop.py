"""The train step: one gradient however the batch is cut; and the loop: what it writes, and what stops it."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdec.stages.pretrain
from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import Full
from jaxdec.config.run import DataConfig, MeshConfig, Precision
from jaxdec.distributed.sharding import batch_shards, make_mesh
from jaxdec.errors import TrainingError, UserError
from jaxdec.runs.metrics import read_metrics
from jaxdec.stages.run import train
from jaxdec.training.learner import Learner
from jaxdec.training.loop import make_run_steps, train_step
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.optim import make_optimizer
from jaxdec.training.schedule import next_stop
from jaxdec.training.stage import Objective, microbatches
from jaxdec.training.state import create_state
from tests import tiny


@functools.cache
def parameters_after_one_sgd_step(mesh_config: MeshConfig, parts: int) -> dict[str, np.ndarray]:
    """With plain SGD at rate 1 the update is minus the gradient."""
    learner, mesh = Learner(tiny.model(layers=1), optax.sgd(1.0), LANGUAGE), make_mesh(mesh_config)
    batch = {name: leaf.reshape(1, parts, 8 // parts, 8) for name, leaf in tiny.batch(8, 8).items()}
    run_steps = make_run_steps(learner, mesh)
    with jax.set_mesh(mesh):
        state = create_state(learner, mesh, seed=0)
        state, _ = run_steps(state, batch, np.int32(1), jax.random.key(0))
    return jax.device_get(state["params"])


LONG = pytest.mark.long  # what the others combine: only microbatches, only devices that share the data


@pytest.mark.parametrize(
    ("mesh", "parts"),
    [(MeshConfig(data=1), 8), (MeshConfig(data=2), 4), (MeshConfig(data=2, fsdp=2), 1), (MeshConfig(data=1, fsdp=4), 2),
     *(pytest.param(MeshConfig(data=data), parts, marks=LONG) for data, parts in [(1, 2), (2, 1), (4, 1)])],
)  # fmt: skip
def test_the_gradient_does_not_depend_on_microbatches_or_devices(mesh: MeshConfig, parts: int):
    whole = parameters_after_one_sgd_step(MeshConfig(data=1), 1)
    cut = parameters_after_one_sgd_step(mesh, parts)
    for name, value in whole.items():
        np.testing.assert_allclose(cut[name], value, rtol=1e-5, atol=2e-6, err_msg=name)


def test_a_dispatch_cut_in_two_gives_the_same_bits():
    mesh = make_mesh(MeshConfig(data=1))
    learner = Learner(tiny.model(dropout=0.1), make_optimizer(tiny.OPTIM, 20), LANGUAGE)
    run_steps = make_run_steps(learner, mesh)
    batches = {name: np.stack([leaf] * 6)[:, None] for name, leaf in tiny.batch(8, 8).items()}
    with jax.set_mesh(mesh):
        state = create_state(learner, mesh, seed=0)
        whole, _ = run_steps(state, batches, np.int32(6), jax.random.key(1))
        state = create_state(learner, mesh, seed=0)
        for count in (1, 5):
            state, _ = run_steps(state, batches, np.int32(count), jax.random.key(1))
        assert run_steps._cache_size() == 1
    for name, value in whole["params"].items():
        assert np.array_equal(np.asarray(value), np.asarray(state["params"][name])), name


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_the_model_learns_a_batch_by_heart(compute: str):
    model, optimizer = tiny.model(Precision(compute=compute)), make_optimizer(tiny.OPTIM, 300)
    learner = Learner(model, optimizer, LANGUAGE)
    params = model.init(jax.random.key(0))
    state = {"step": jnp.zeros((), jnp.int32), "params": params, "opt": optimizer.init(params)}
    batch = {name: leaf[None] for name, leaf in tiny.batch(8, 8).items()}
    step = jax.jit(lambda state: train_step(learner, state, batch, jax.random.key(0)))
    state, first = step(state)
    for _ in range(300):
        state, metrics = step(state)
    assert float(first["loss"]) == pytest.approx(np.log(11), rel=0.05)
    assert float(metrics["loss"]) < 0.2 * float(first["loss"])
    assert all(param.dtype == jnp.float32 for param in state["params"].values())


def test_parameters_and_moments_are_sharded_alike():
    learner = Learner(tiny.model(), make_optimizer(tiny.OPTIM, 20), LANGUAGE)
    mesh = make_mesh(MeshConfig(data=2, fsdp=2))
    with jax.set_mesh(mesh):
        state = create_state(learner, mesh, seed=0)
    kernel = state["params"]["blocks.0.mlp.up.kernel"]
    moments = [leaf for leaf in jax.tree.leaves(state["opt"]) if leaf.shape == kernel.shape]
    assert kernel.sharding.shard_shape(kernel.shape) == (8, 64)
    assert len(moments) == 4 and all(leaf.sharding.shard_shape(leaf.shape) == (8, 64) for leaf in moments)


def test_a_dispatch_ends_where_something_is_due():
    config = tiny.run_config(train=replace(tiny.TRAIN, eval_every=10, checkpoint_every=7, steps=21))
    stops, step = [], 0
    while step < 21:
        step = next_stop(config, step)
        stops.append(step)
    assert stops == [4, 7, 8, 10, 12, 14, 16, 20, 21]


def test_a_run_leaves_what_the_contract_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    summary = train(tiny.run_config(), tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.yaml", "metrics.jsonl", "checkpoints", "tokenizer", "loss.png", "summary.json"
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"10", "20"}
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    assert summary["steps"] == 20 and summary["tokens"] == 20 * 64
    assert summary["excess"] == pytest.approx(summary["sweep_loss"] - summary["floor"])
    rows = list(read_metrics(tmp_path / "run" / "metrics.jsonl"))
    assert [row["step"] for row in rows if "loss" in row] == [10, 20]
    assert [row["step"] for row in rows if "validation_loss" in row] == [10, 20]
    assert "attention" in capsys.readouterr().out


def test_a_mask_that_shows_the_future_is_reported_as_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Full, "allowed", lambda self, query, key: key <= query + 1)
    config = tiny.run_config(
        model=DecoderConfig(layers=1, heads=2, width=32, context=16),
        train=replace(
            tiny.TRAIN, steps=400, tokens_per_step=512, steps_per_dispatch=50, eval_every=400, checkpoint_every=400
        ),
    )
    with pytest.raises(TrainingError, match=r"leak: validation loss .* is below the entropy floor"):
        train(config, tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def breaks_down(apply, params, batch, key):
        total, parts = LANGUAGE.loss(apply, params, batch, key)
        # The first token of step 13's batch is its mark: no other batch is masked there.
        return jnp.where(batch["mask"][0, 0] == 0, jnp.nan, total), parts

    windows = jaxdec.stages.pretrain.Windows.__call__

    def marked(self, seed, step):
        batch = windows(self, seed, step)
        batch["mask"][0, 0] = float(step != 12)
        return batch

    monkeypatch.setattr(jaxdec.stages.pretrain, "LANGUAGE", Objective(breaks_down, LANGUAGE.count))
    monkeypatch.setattr(jaxdec.stages.pretrain.Windows, "__call__", marked)
    with pytest.raises(TrainingError, match=r"loss is nan .*at step 13: the last good checkpoint is .*checkpoints/10"):
        train(tiny.run_config(), tmp_path / "run")
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"10"}


def test_an_existing_directory_is_not_touched(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "note.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        train(tiny.run_config(), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["note.txt"]


def test_nothing_is_written_when_the_input_is_wrong(tmp_path: Path):
    wrong = {
        "not divisible by the 4 devices": tiny.run_config(train=replace(tiny.TRAIN, tokens_per_step=48)),
        "does not divide": tiny.run_config(train=replace(tiny.TRAIN, tokens_per_step=192, microbatch=4)),
        "longer than model.context": tiny.run_config(data=DataConfig(corpus="markov", window=9)),
        "does not fit the 4": tiny.run_config(mesh=MeshConfig(data=8)),
        "smaller than the tokenizer's": tiny.run_config(model=tiny.MODEL.__class__(2, 2, 16, 8, vocab_size=2)),
    }
    for message, config in wrong.items():
        with pytest.raises(UserError, match=message):
            train(config, tmp_path / "run")
        assert not (tmp_path / "run").exists(), message


def test_microbatches_are_derived_from_the_global_batch():
    config = tiny.run_config(train=replace(tiny.TRAIN, tokens_per_step=128, microbatch=2))
    assert config.batch_size == 16
    assert [microbatches(config, shards) for shards in (1, 2, 4, 8)] == [8, 4, 2, 1]
    assert batch_shards(make_mesh(MeshConfig(data=2, fsdp=2))) == 4


def test_a_run_with_sharded_parameters_ends_and_agrees(tmp_path: Path):
    split = train(tiny.run_config(mesh=MeshConfig(data=2, fsdp=2)), tmp_path / "split")
    whole = train(tiny.run_config(mesh=MeshConfig(data=1)), tmp_path / "whole")
    assert split["steps"] == whole["steps"] == 20
    assert split["sweep_loss"] == pytest.approx(whole["sweep_loss"], rel=1e-4)
