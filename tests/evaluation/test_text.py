"""Evaluators: the mean over targets, its standard error, the floor for the contexts that a sweep gives, and leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxdec.config.run import DataConfig
from jaxdec.data.shards import prepare
from jaxdec.errors import TrainingError
from jaxdec.evaluation.text import check_leak, full_sweep, make_window_losses, mean_loss, random_windows
from jaxdec.models.functional import Model
from jaxdec.stages.run import evaluate, train, with_vocabulary
from tests import tiny


def test_the_mean_weighs_targets_and_the_error_is_that_of_the_window_means():
    rng = np.random.default_rng(0)
    losses = rng.gamma(2.0, size=(50, 8)).astype(np.float32)
    batches = iter([{"losses": losses[:30]}, {"losses": losses[30:]}])

    def window_losses(params, batch):
        return jax.numpy.sum(batch["losses"], -1), jax.numpy.full(len(batch["losses"]), 8.0)

    mean, error = mean_loss(window_losses, {}, batches)
    assert mean == pytest.approx(losses.mean(), rel=1e-6)
    assert error == pytest.approx(losses.mean(-1).std(ddof=1) / 50**0.5, rel=1e-5)


def test_padding_rows_change_nothing():
    sums, counts = np.array([3.0, 5.0, 0.0], np.float32), np.array([2.0, 4.0, 0.0], np.float32)

    def window_losses(params, rows):
        return jax.numpy.asarray(sums[:rows]), jax.numpy.asarray(counts[:rows])

    assert mean_loss(window_losses, {}, iter([3])) == mean_loss(window_losses, {}, iter([2]))
    assert mean_loss(window_losses, {}, iter([3]))[0] == pytest.approx(8 / 6)


def test_the_floor_of_a_markov_sweep_rises_where_context_is_cut():
    config = with_vocabulary(tiny.run_config(), 11)
    dataset = prepare(config.data)
    floors = {}
    for stride in (8, 2):
        strided = replace(config, data=replace(config.data, sweep_stride=stride))
        model = Model(strided.model, strided.precision)
        result = dict(full_sweep(make_window_losses(model), strided, dataset)(model.init(jax.random.key(0))))
        floors[stride] = result["floor"]
        assert result["excess"] == pytest.approx(result["sweep_loss"] - result["floor"])
    entropy = dataset.conditional_entropy
    assert entropy is not None
    assert floors[2] == pytest.approx(entropy(6), rel=1e-3)  # order 2: six tokens tell all that there is
    expected = np.mean([entropy(known) for known in range(1, 9)])
    assert floors[8] == pytest.approx(expected, rel=1e-3) and floors[8] > floors[2]


def test_random_windows_are_the_same_at_every_call():
    config = with_vocabulary(tiny.run_config(), 11)
    model = Model(config.model, config.precision)
    evaluate = random_windows(make_window_losses(model), config, prepare(config.data))
    params = model.init(jax.random.key(0))
    first = dict(evaluate(params))
    assert first == dict(evaluate(params))
    assert set(first) == {"training_loss", "validation_loss"}
    assert first["validation_loss"] == pytest.approx(np.log(11), rel=0.1)


def test_a_leak_is_a_loss_below_the_floor_by_more_than_chance():
    check_leak(loss=1.98, floor=2.0, standard_error=0.01)
    with pytest.raises(TrainingError, match="leak"):
        check_leak(loss=1.96, floor=2.0, standard_error=0.01)


def test_a_saved_run_evaluates_to_what_training_reported(tmp_path: Path):
    summary = train(tiny.run_config(data=DataConfig(corpus="markov:1")), tmp_path / "run")
    again = evaluate(tmp_path / "run")
    assert again["step"] == 20
    for name in ("training_loss", "validation_loss", "sweep_loss", "floor", "excess"):
        assert again[name] == pytest.approx(summary[name], rel=1e-5), name
