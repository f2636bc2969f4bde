"""A run that changes the framework half way lands where it would have landed in either: parameters, moments, step and
schedule are all there is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import GatedMLP, MoE
from jaxdec.config.run import RunConfig
from jaxdec.config.stages import Everything, Matching
from jaxdec.distributed.sharding import make_mesh
from jaxdec.errors import UserError
from jaxdec.models.functional import Model
from jaxdec.parity.pairs.run import twin_run
from jaxdec.parity.pairs.variants import DROPLESS, GPT
from jaxdec.parity.sides.weights import generic_weights
from jaxdec.training.learner import Learner, trainable_names
from jaxdec.training.loop import make_run_steps
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.optim import make_optimizer
from jaxdec.training.state import State, new_state
from jaxdec.training.torch_state import from_torch, to_torch
from jaxdec.weights.torchref import to_torchref
from torchref.training.loop import train_step
from torchref.training.state import Training, begin, collect, restore

HALF, SAME = 50, 1e-10
SMALL = replace(GPT, layers=1)
RUNS: dict[str, RunConfig] = {
    "all": twin_run(SMALL).config,
    "a part of the parameters": replace(
        twin_run(SMALL).config, trainable=Matching(("blocks.*.mlp.*", "final_norm.*", "position_embed.*"))
    ),
    "experts": twin_run(replace(SMALL, mlp=replace(DROPLESS, expert=GatedMLP(24), shared=GatedMLP(24)))).config,
}
Batches = Sequence[dict[str, np.ndarray]]


class InJax(NamedTuple):
    config: RunConfig
    learner: Learner
    run_steps: Callable[..., Any]

    def start(self) -> State:
        weights = generic_weights(self.learner.model.shapes(), 0)
        return new_state(self.learner, {name: jnp.asarray(value) for name, value in weights.items()})

    def train(self, state: State, batches: Batches) -> State:
        """With the program that `jaxdec train` runs, all steps in one dispatch."""
        stacked = {name: np.stack([batch[name] for batch in batches])[:, None] for name in batches[0]}
        state = jax.tree.map(jnp.array, state)  # the program donates its state
        return self.run_steps(state, stacked, jnp.int32(len(batches)), jax.random.key(0))[0]


@functools.cache
def in_jax(name: str) -> InJax:
    config = RUNS[name]
    model = Model(config.model, config.precision)
    trained = trainable_names(config.trainable, model.axes)
    learner = Learner(model, make_optimizer(config.optim, config.decay_steps), LANGUAGE, trained)
    return InJax(config, learner, make_run_steps(learner, make_mesh(config.mesh)))


def train_in_torch(training: Training, batches: Batches) -> Training:
    for batch in batches:
        train_step(training.model.train(), training.optimizer, training.config, batch, training.step)
        training.step += 1
    return training


@functools.cache
def batches(name: str) -> tuple[Batches, Batches]:
    found: Any = twin_run(RUNS[name].model).batches(0, 2 * HALF)
    return found[:HALF], found[HALF:]


def through_a_file(saved: dict[str, Any], folder: Path) -> dict[str, Any]:
    torch.save(saved, folder / "state.pt")
    return torch.load(folder / "state.pt", weights_only=True)


def largest(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """The largest relative distance of two sets of parameters in the Frobenius norm."""
    assert ours.keys() == theirs.keys()
    pairs = [(np.asarray(ours[name]), np.asarray(theirs[name])) for name in ours]
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)


@pytest.mark.parametrize("name", RUNS)
def test_half_in_each_lands_where_either_does(name: str, tmp_path: Path) -> None:
    with jax.enable_x64(True):
        ours, (first, second) = in_jax(name), batches(name)
        start = ours.start()
        half = ours.train(start, first)
        whole = ours.train(half, second)
        in_torch = restore(through_a_file(to_torch(start, ours.config), tmp_path))
        half_in_torch = through_a_file(collect(train_in_torch(in_torch, first)), tmp_path)
        whole_in_torch = from_torch(collect(train_in_torch(restore(half_in_torch), second)), ours.config)
        jax_first = train_in_torch(restore(through_a_file(to_torch(half, ours.config), tmp_path)), second)
        torch_first = ours.train(from_torch(half_in_torch, ours.config), second)
        jax_first_params = from_torch(collect(jax_first), ours.config)["params"]
        for params in (jax_first_params, torch_first["params"]):
            assert largest(params, whole["params"]) <= SAME
            assert largest(params, whole_in_torch["params"]) <= SAME
        frozen = [name for name in start["params"] if name not in ours.learner.split(start["params"])[0]]
        assert bool(frozen) == (ours.config.trainable != Everything())
        for parameter in start["params"]:
            moved = not np.array_equal(torch_first["params"][parameter], start["params"][parameter])
            assert moved == (parameter not in frozen), parameter
