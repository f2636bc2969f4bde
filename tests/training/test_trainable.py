"""What is frozen: no gradient, no moments, the same bits afterwards; and the names that say what is trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.checkpoints.checkpoints import restore_params
from jaxdec.config.parts import Full
from jaxdec.config.run import MeshConfig
from jaxdec.config.trainable import Everything, Matching
from jaxdec.errors import UserError
from jaxdec.runs.directory import require_run
from jaxdec.stages.run import open_stage, resume, train
from jaxdec.training.learner import Learner, trainable_names
from jaxdec.training.loop import Trainer, train_step
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.optim import make_optimizer
from jaxdec.training.state import new_state
from tests import tiny

NAMES = list(tiny.model(tied_head=False).axes)
LAST = Matching(("blocks.1.mlp.*", "*_norm.bias"))


def learner(trainable: Any) -> Learner:
    model = tiny.model(tied_head=False)
    return Learner(model, make_optimizer(tiny.OPTIM, 20), LANGUAGE, trainable_names(trainable, model.axes))


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("head.kernel",), ["head.kernel"]),
        (("head.*", "final_norm.*"), ["final_norm.bias", "final_norm.scale", "head.kernel"]),
        (("blocks.1.mlp.*.kernel",), ["blocks.1.mlp.down.kernel", "blocks.1.mlp.up.kernel"]),
        (("*",), NAMES),
    ],
)
def test_patterns_are_whole_names(patterns: tuple[str, ...], expected: list[str]) -> None:
    assert trainable_names(Matching(patterns), NAMES) == frozenset(expected)
    assert trainable_names(Everything(), NAMES) is None


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (
            "blocks.2.mlp.up.kernel",
            "'blocks.2.mlp.up.kernel'; the nearest names are blocks.1.mlp.up.kernel, ",
        ),
        ("head", "no parameter is called 'head'; the nearest names are head.kernel"),
        ("Head.*", "no parameter is called 'Head.*'; the nearest names are"),
    ],
)
def test_a_pattern_that_nothing_fits_is_an_error_before_anything_is_written(
    pattern: str, said: str, tmp_path: Path
) -> None:
    config = tiny.run_config(trainable=Matching(("token_embed.*", pattern)))
    config = replace(config, model=replace(config.model, tied_head=False))
    with pytest.raises(UserError) as error:
        train(config, tmp_path / "run")
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("patterns", [(), ("",)])
def test_no_pattern_is_an_error(patterns: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"trainable\.patterns is empty"):
        Matching(patterns)


def test_an_unknown_kind_of_choice_is_an_error() -> None:
    with pytest.raises(UserError, match=r"trainable is Full\(.*\): give a value of a kind in"):
        trainable_names(Full(), NAMES)  # type: ignore[arg-type]


def products(trainable: Any) -> int:
    """How many matrix products a train step has."""
    batch = {name: jnp.asarray(leaf[None]) for name, leaf in tiny.batch(8, 8).items()}
    made = learner(trainable)
    state = jax.eval_shape(lambda: new_state(made, made.model.init(jax.random.key(0))))
    return products_of(lambda state: train_step(made, state, batch, jax.random.key(0))[0], state)


def products_of(function: Callable[[Any], Any], argument: Any) -> int:
    return jax.jit(function).lower(argument).as_text().count("stablehlo.dot_general")


def test_no_gradient_of_a_frozen_parameter_is_computed() -> None:
    model = tiny.model(tied_head=False)
    forward = products_of(lambda params: model.read(params, tiny.batch(8, 8)).logits_BTV, model.shapes())
    assert products(Everything()) == 3 * forward
    assert products(Matching(("head.kernel",))) == forward + 1
    assert products(Matching(("final_norm.*",))) == forward + 1
    assert products(Matching(("blocks.1.mlp.down.*",))) == forward + 2


def test_only_what_is_trained_has_moments() -> None:
    made = learner(LAST)
    state = new_state(made, made.model.init(jax.random.key(0)))
    trained, frozen = made.split(state["params"])
    assert len(trained) == 4 + 5 and len(trained) + len(frozen) == len(NAMES)
    adam = next(part for part in state["opt"] if hasattr(part, "mu"))
    assert adam.mu.keys() == adam.nu.keys() == trained.keys()


@pytest.mark.parametrize(
    "mesh",
    [pytest.param(MeshConfig(data=1), marks=pytest.mark.long), MeshConfig(data=2, fsdp=2)],
    ids=["one", "sharded"],
)
def test_what_is_frozen_keeps_its_bits(mesh: MeshConfig) -> None:
    """Under weight decay, and with microbatches."""
    config = tiny.run_config(mesh=mesh, trainable=LAST, optim=replace(tiny.OPTIM, weight_decay=0.5))
    config = replace(config, train=replace(config.train, microbatch=1 if mesh.fsdp > 1 else 4))
    trainer = Trainer(*open_stage(config))
    trainer.start()
    before = jax.device_get(trainer.state["params"])
    reports = list(trainer.run())
    changed = {name for name, param in trainer.state["params"].items() if param.tobytes() != before[name].tobytes()}
    assert changed == trainer.learner.trainable == trainable_names(LAST, before)
    kernel = trainer.state["params"]["blocks.0.mlp.up.kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (16 // mesh.fsdp, 64)
    assert dict(reports[-1][1])["sweep_loss"] < np.log(8)


def test_a_run_with_frozen_parameters_resumes_to_the_same_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = tiny.run_config(trainable=LAST, mesh=MeshConfig(data=1)), tmp_path / "run"
    train(config, run)
    assert "6,848 parameters, 2,208 of them trained: decoder" in capsys.readouterr().out
    whole, _ = restore_params(run / "checkpoints")
    assert whole.keys() == tiny.model().axes.keys(), "a checkpoint holds what is frozen, too"
    shutil.rmtree(run / "checkpoints" / "20")
    resume(run, require_run(run))
    for name, param in restore_params(run / "checkpoints")[0].items():
        assert np.asarray(param).tobytes() == np.asarray(whole[name]).tobytes(), name
