"""Batches that depend on the parameters: when they are made, from what, and that a run which is cut goes on alike."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.config.run import MeshConfig, RunConfig
from jaxdec.config.trainable import Matching
from jaxdec.data.batches import Batch
from jaxdec.errors import UserError
from jaxdec.models.functional import Params
from jaxdec.stages.run import open_stage
from jaxdec.training.loop import Trainer
from jaxdec.training.stage import Rollouts
from jaxdec.training.state import State, abstract_state
from tests import tiny

UPDATES = 3
TRAIN = replace(
    tiny.TRAIN, steps=12, steps_per_dispatch=2, eval_every=6, checkpoint_every=6, eval_batches=1, log_every=1
)


class Made:
    """Rollouts whose targets are what the model finds most likely, or, in every second row, found likely at first."""

    def __init__(self, model: Any) -> None:
        self.calls: list[tuple[int, Params, Params, Batch]] = []
        self._best = jax.jit(lambda params, tokens: model.apply(params, tokens).logits_BTV.argmax(-1))

    def __call__(self, params: Params, first: Params, batch: Batch, step: int) -> tuple[Batch, Mapping[str, float]]:
        self.calls.append((step, jax.device_get(params), jax.device_get(first), batch))
        now, then = (np.asarray(self._best(each, batch["tokens"]), np.int32) for each in (params, first))
        targets = np.where(np.arange(len(now))[:, None] % 2 == 0, now, then)
        return {**batch, "targets": targets}, {"agreement": float((now == then).mean())}


def config(**changes: Any) -> RunConfig:
    return tiny.run_config(
        train=replace(TRAIN, **changes), mesh=MeshConfig(data=1), trainable=Matching(("blocks.*", "final_norm.*"))
    )


def trainer(**changes: Any) -> tuple[Trainer, Made]:
    run, stage = open_stage(config(**changes))
    made = Made(stage.model)
    return Trainer(run, replace(stage, rollouts=Rollouts(made, UPDATES))), made


class Folder:
    """A `Saver` that keeps every state on the disk."""

    def __init__(self, folder: Path) -> None:
        self.checkpoints = Checkpoints(folder, 9)

    def save(self, step: int, state: State) -> None:
        self.checkpoints.save(step, state, {})

    def newest(self) -> str:
        return ""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Made, list[Any], Path]:
    """A run that nothing interrupted, its log and the folder of its checkpoints."""
    run, made = trainer()
    folder = tmp_path_factory.mktemp("whole")
    saver = Folder(folder)
    run.start()
    with contextlib.closing(saver.checkpoints):
        lines = list(run.run(saver))
    return run, made, lines, folder


def test_a_rollout_is_made_from_the_parameters_of_its_step_and_the_first_ones(whole: Any) -> None:
    run, made, lines, _ = whole
    steps = [step for step, *_ in made.calls]
    assert steps == [0, 3, 6, 9]
    seed = run.config.train.seed
    _, start, *_ = made.calls[0]
    for step, params, first, batch in made.calls:
        np.testing.assert_array_equal(batch["tokens"], run.stage.batch(seed, step)["tokens"])
        assert all(np.array_equal(first[name], start[name]) for name in start)
        moved = {name for name in params if not np.array_equal(params[name], start[name])}
        assert bool(moved) == (step > 0) and not any(name.startswith("token_embed") for name in moved)
    agreement = [values["agreement"] for _, values in lines if "agreement" in values]
    assert len(agreement) == 12 and agreement[0] == 1.0 and len(set(agreement)) == 4, "a value for each rollout"
    assert set(run.state["first"]) == run.learner.trainable, "of frozen parameters there is no second copy"


@pytest.mark.long  # tests/stages/test_reinforce.py cuts a whole run
@pytest.mark.parametrize("slots", [5, 2])
def test_a_run_that_was_cut_goes_on_with_the_same_bits(whole: Any, slots: int) -> None:
    """From the checkpoint in the middle, in a new trainer, with other dispatches."""
    expected, _, lines, folder = whole
    run, made = trainer(steps_per_dispatch=slots)
    with contextlib.closing(Checkpoints(folder, 9)) as checkpoints, jax.set_mesh(run.mesh):
        run._state, _ = checkpoints.restore(abstract_state(run.learner, run.mesh), step=6)
    again = list(run.run())
    assert [step for step, *_ in made.calls] == [6, 9]
    for name, param in expected.state["params"].items():
        assert np.asarray(param).tobytes() == np.asarray(run.state["params"][name]).tobytes(), name
    assert [computed(line) for line in again] == [computed(line) for line in lines if computed(line)[0] > 6]


def computed(line: tuple[int, dict[str, float]]) -> tuple[int, dict[str, float]]:
    step, values = line
    return step, {name: value for name, value in values.items() if "second" not in name and "flops" not in name}


def test_a_run_told_to_stop_ends_where_a_rollout_ends() -> None:
    run, made = trainer(evaluate="none")
    run.start()
    list(run.run(is_stopped=lambda: True))
    assert run.stopped and run.step == 3 and len(made.calls) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": 13}, "train.steps 13 is not a multiple of the 3 updates on one rollout (stage.updates): try 15"),
        ({"checkpoint_every": 4}, "train.checkpoint_every 4 is not a multiple of the 3 updates"),
        ({"eval_every": 10}, "train.eval_every 10 is not a multiple of the 3 updates"),
    ],
)
def test_what_would_fall_into_a_rollout_is_refused(changes: dict[str, int], said: str) -> None:
    with pytest.raises(UserError) as error:
        trainer(**changes)
    assert said in str(error.value)
