"""A run that changes the framework half way lands where it would have landed in either: parameters, moments, step and
schedule are all there is."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.checkpoints.files import complete_steps
from jaxdec.cli.main import main
from jaxdec.config.parts import GatedMLP
from jaxdec.config.run import RunConfig
from jaxdec.config.trainable import Everything, Matching
from jaxdec.config.yaml import load_config
from jaxdec.distributed.sharding import make_mesh
from jaxdec.errors import UserError
from jaxdec.models.functional import Model
from jaxdec.parity.pairs.run import twin_run
from jaxdec.parity.pairs.variants import DROPLESS, GPT
from jaxdec.parity.sides.weights import generic_weights
from jaxdec.stages.pretrain import load_data, make_stage
from jaxdec.stages.run import resume, train
from jaxdec.stages.torch_state import load_torch_state, save_torch_state
from jaxdec.training.learner import Learner, trainable_names
from jaxdec.training.loop import make_run_steps
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.optim import make_optimizer
from jaxdec.training.state import State, new_state
from jaxdec.training.torch_state import from_torch, learner_of, to_torch
from tests import tiny
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
        halves, wholes = (jax_first_params, torch_first["params"]), (whole["params"], whole_in_torch["params"])
        errors = [largest(half_in_each, in_one) for half_in_each in halves for in_one in wholes]
        print(name, *(f"{error:.1e}" for error in errors))
        assert max(errors) <= SAME
        frozen = [name for name in start["params"] if name not in ours.learner.split(start["params"])[0]]
        assert bool(frozen) == (ours.config.trainable != Everything())
        for parameter in start["params"]:
            moved = not np.array_equal(torch_first["params"][parameter], start["params"][parameter])
            assert moved == (parameter not in frozen), parameter


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 20 steps with checkpoints at 10 and 20."""
    run_dir = tmp_path_factory.mktemp("runs") / "jax"
    train(config_of_run(), run_dir)
    return run_dir


def config_of_run() -> RunConfig:
    config = tiny.run_config(model=replace(tiny.MODEL, vocab_size=None, bias=False))
    return replace(config, train=replace(config.train, evaluate="none", keep_checkpoints=5))


def resumed(run_dir: Path) -> dict[str, Any]:
    resume(run_dir, load_config(run_dir / "config.yaml"))
    return restore_params(run_dir / "checkpoints")[0]


def test_a_run_directory_goes_to_torch_and_back(trained: Path, tmp_path: Path) -> None:
    """The run's later checkpoint is set aside; six steps are torch's."""
    run_dir, state = tmp_path / "run", tmp_path / "state.pt"
    shutil.copytree(trained, run_dir)
    assert save_torch_state(run_dir, state, step=10) == 10
    training = restore(torch.load(state, weights_only=True))
    data: Any = load_data(training.config, from_file=None, tokenizer=None)
    stage = make_stage(training.config, Model(training.config.model, training.config.precision), data)
    batches: Any = [stage.batch(training.config.train.seed, step) for step in range(10, 16)]
    torch.save(collect(train_in_torch(training, batches)), tmp_path / "after.pt")
    assert load_torch_state(tmp_path / "after.pt", run_dir) == 16
    assert (run_dir / "checkpoints" / "20.superseded").is_dir()
    assert largest(resumed(run_dir), restore_params(trained / "checkpoints")[0]) <= 1e-5
    with pytest.raises(UserError, match=r"state\.pt exists already"):
        save_torch_state(run_dir, state)


def test_a_new_run_from_a_file_goes_on_bit_for_bit(trained: Path, tmp_path: Path) -> None:
    save_torch_state(trained, tmp_path / "state.pt", step=10)
    assert load_torch_state(tmp_path / "state.pt", tmp_path / "new") == 10
    ours, whole = resumed(tmp_path / "new"), restore_params(trained / "checkpoints")[0]
    assert all(np.array_equal(ours[name], whole[name]) for name in whole)


CONFIG = replace(config_of_run(), model=replace(tiny.MODEL, bias=False))


def saved_state() -> dict[str, Any]:
    learner = learner_of(CONFIG)
    weights = generic_weights(learner.model.shapes(), 0)
    state = new_state(learner, {name: jnp.asarray(value, jnp.float32) for name, value in weights.items()})
    return to_torch(state, CONFIG)


def moments(saved: dict[str, Any]) -> dict[int, dict[str, torch.Tensor]]:
    return saved["optimizer"]["state"]


def groups(saved: dict[str, Any]) -> list[dict[str, Any]]:
    return saved["optimizer"]["param_groups"]


def grow(tensor: torch.Tensor) -> torch.Tensor:
    return torch.cat([tensor, tensor])


# How a state is broken, what the line says, and how many lines of details follow.
WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str, int]] = {
    "all but one lack": (
        lambda it: [moments(it).pop(number) for number in range(1, 19)],
        r"exp_avg of the optimizer: the JAX model needs \S+, \S+, \S+ and 15 more, missing",
        18,
    ),
    "one left over": (lambda it: moments(it).update({99: moments(it)[0]}), "has no place for parameter number 99", 1),
    "misshapen": (
        lambda it: [moments(it)[n].update(exp_avg_sq=grow(moments(it)[n]["exp_avg_sq"])) for n in (0, 1, 2)],
        r"exp_avg_sq of the optimizer: \S+ has shape \(16, 32\) where the JAX model has \(16, 16\); 2 more do not fit",
        3,
    ),
    "weights lacking": (lambda it: it["model"].pop("final_norm.weight"), "needs final_norm.scale, missing", 1),
    "weights left over": (lambda it: it["model"].update(more=torch.ones(2)), "has no place for more", 1),
    "one is ahead": (lambda it: moments(it)[4].update(step=torch.tensor(3.0)), r"of step 0, but .*\.weight: 3\)", 1),
    "not AdamW": (lambda it: moments(it)[2].pop("exp_avg"), "the optimizer is no AdamW, it has no moments of", 1),
    "other betas": (lambda it: groups(it)[1].update(betas=(0.5, 0.9)), r"other settings .*betas of", 5),
    "other decay": (lambda it: groups(it)[0].update(weight_decay=0.0), r"weight_decay of .* and 12 more", 14),
    "other clip": (
        lambda it: it.update(run=it["run"].replace('"clip_norm": 1.0', '"clip_norm": 2.0')),
        "optim.clip_norm: 2.0 -> 1.0",
        1,
    ),
    "no optimizer": (lambda it: it.pop("optimizer"), "this is no training state of torchref, it has no 'optimizer'", 0),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_state_that_does_not_fit_is_refused_with_the_full_list(case: str) -> None:
    spoil, line, details = WRONG[case]
    saved = saved_state()
    from_torch(saved, CONFIG)
    spoil(saved)
    with pytest.raises(UserError, match=line) as refused:
        from_torch(saved, CONFIG)
    assert len(refused.value.details) == details, refused.value.details


def test_a_program_of_its_own_needs_no_settings(tmp_path: Path) -> None:
    """Model, optimizer and step alone do for a run that is there, before the first step too; not for a new one."""
    saved = collect(begin(CONFIG))
    bare = {part: saved[part] for part in ("model", "optimizer", "step")}
    state = from_torch(bare, CONFIG)
    assert int(state["step"]) == 0 and not any(moment.any() for moment in jax.tree.leaves(state["opt"]))
    torch.save(bare, tmp_path / "bare.pt")
    with pytest.raises(UserError, match="has no settings of a run: make the run"):
        load_torch_state(tmp_path / "bare.pt", tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Runs:
    """An object whose reading would run code."""

    def __reduce__(self) -> Any:
        return (print, ("this must not be printed",))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "state.pt"
    with pytest.raises(UserError, match="cannot be read"):
        load_torch_state(path, tmp_path / "run")
    torch.save({"model": Runs()}, path)
    with pytest.raises(UserError, match="holds more than tensors, numbers and strings"):
        load_torch_state(path, tmp_path / "run")
    assert capsys.readouterr().out == ""
    torch.save(saved_state(), path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UserError, match="is damaged"):
        load_torch_state(path, tmp_path / "run")
    torch.save({"model": 3, "optimizer": {}, "step": 1, "run": saved_state()["run"]}, path)
    with pytest.raises(UserError, match="is not built as"):
        load_torch_state(path, tmp_path / "run")
    torch.save([1, 2], path)
    with pytest.raises(UserError, match="holds no training state"):
        load_torch_state(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_carries_a_run_there_and_back(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, new = str(tmp_path / "state.pt"), str(tmp_path / "new")
    assert main(["convert", str(trained), state, "--to", "training-state", "--step", "10"]) == 0
    assert main(["convert", state, new, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == 10
    assert complete_steps(tmp_path / "new" / "checkpoints") == [10]
    for words, line in (
        (["convert", state, new, "--dtype", "float64"], "carried over as it is: leave --dtype out"),
        (["convert", state, new, "--step", "10"], "is of one step: leave --step out"),
        (["convert", str(trained), state, "--to", "training-state"], "state.pt exists already"),
        (["convert", str(tmp_path), str(tmp_path / "it.pt"), "--to", "training-state"], "is not a run directory"),
    ):
        assert main(words) == 2
        assert line in capsys.readouterr().err
    assert not (tmp_path / "it.pt").exists()
