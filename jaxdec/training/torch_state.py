"""The train state to and from `torchref`: parameters, AdamW's moments, the step. The schedule follows from these and
the settings, which go along.

optax keeps a dict of moments by parameter name, and one count; torch a state for each parameter by its number, the
place of the parameter in the optimizer's groups. `torchref` itself is asked for these. A moment has the shape of its
parameter, so that the rules of the weights carry it over (`jaxdec.weights.torchref`). What a file holds is said in
`torchref/training/state.py`. Torch is an extra, and imported when it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdec.config.reinforce import Reinforce
from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import config_from_dict, differences
from jaxdec.errors import UserError, listed, needs_extra
from jaxdec.models.functional import Model
from jaxdec.training.learner import Learner, trainable_names
from jaxdec.training.losses import LANGUAGE
from jaxdec.training.optim import make_optimizer
from jaxdec.training.state import State, new_state
from jaxdec.weights.torchref import from_torchref, to_torchref, torch_name

if TYPE_CHECKING:
    import torch

MOMENTS = {"mu": "exp_avg", "nu": "exp_avg_sq"}  # optax's names and torch's
# What a group of torch's optimizer holds beside settings that change the result.
NOT_COMPARED = ("params", "lr", "initial_lr", "foreach", "fused", "capturable", "differentiable")
COMPARED = ("model.", "optim.", "trainable")  # sections of the run's settings

Tensors = dict[str, "torch.Tensor"]


def to_torch(state: State, config: RunConfig) -> dict[str, Any]:
    """What `torchref.training.state.restore` goes on from, and `torch.save` can write; dtypes kept.

    `config.model.vocab_size` is known. Raises UserError where torch is not installed.
    """
    step = int(state["step"])
    moments = {theirs: optax.tree.get(state["opt"], ours) for ours, theirs in MOMENTS.items()}
    saved = _template(config, moments["exp_avg"], step)
    shapes = {name: saved["model"][name] for name in saved["trained"]}
    carried = {theirs: to_torchref(values, shapes) for theirs, values in moments.items()}
    saved["model"] = to_torchref(state["params"], saved["model"])
    saved["optimizer"]["state"] = {
        number: {"step": _count(step), **{theirs: values[name] for theirs, values in carried.items()}}
        for number, name in enumerate(saved["numbered"])
        if name in shapes
    }
    return saved


def from_torch(saved: Mapping[str, Any], config: RunConfig) -> State:
    """The train state of a run under `config`, as numpy arrays in `precision.params`.

    `saved` is what `torchref.training.state.collect` made, or a dict with its `model`, `optimizer` and `step` alone.
    Raises UserError where its settings are others than the run's, and where parameters or moments are missing, left
    over or misshapen, with the full list.
    """
    for part in ("step", "model", "optimizer"):
        if part not in saved:
            raise UserError(f"this is no training state of torchref, it has no {part!r}: see docs/packing.md")
    learner, step, dtype = learner_of(config), int(saved["step"]), jnp.dtype(config.precision.params)
    shapes = learner.model.shapes()
    trained, _ = learner.split(shapes)
    template = _template(config, trained, step)
    saved = {"numbered": template["numbered"], **saved}
    _require_settings(saved, template, config)
    arrays = {"params": from_torchref(saved["model"], shapes)}
    found = _moments(saved, template["trained"], step)
    for ours, theirs in MOMENTS.items():
        try:
            arrays[ours] = from_torchref(found[theirs], trained)
        except UserError as error:
            raise error.within(f"{theirs} of the optimizer: {error}") from None
    arrays = {part: {name: array.astype(dtype) for name, array in values.items()} for part, values in arrays.items()}
    opt = optax.tree.set(
        abstract_state(learner)["opt"], count=np.int32(step), **{ours: arrays[ours] for ours in MOMENTS}
    )
    return {"step": np.int32(step), "params": arrays["params"], "opt": opt}


def learner_of(config: RunConfig) -> Learner:
    """The learner of a run, as far as its state goes. Its loss is not used. Raises UserError for a stage whose state
    has more than parameters, moments and a step."""
    if isinstance(config.resolved_stage, Reinforce):
        raise UserError(
            "stage reinforce keeps the first parameters beside the newest ones, for which a training state of torchref "
            "has no place: convert the weights alone"
        )
    model = Model.of(config)
    optimizer = make_optimizer(config.optim, config.decay_steps)
    return Learner(model, optimizer, LANGUAGE, trainable_names(config.trainable, model.axes))


def abstract_state(learner: Learner) -> State:
    """Shapes and dtypes of the state, wherever it lies."""
    return jax.eval_shape(lambda params: new_state(learner, params), learner.model.shapes())


def _template(config: RunConfig, trained: Iterable[str], step: int) -> dict[str, Any]:
    """What `torchref` would save of such a run, its tensors without values."""
    try:
        import torch

        from torchref.training.state import begin, collect
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise needs_extra("training state of torchref needs PyTorch", "torch") from None
    with torch.device("meta"):
        training = begin(config, frozenset(map(torch_name, trained)))
    training.step = step
    return collect(training)


def _require_settings(saved: Mapping[str, Any], template: Mapping[str, Any], config: RunConfig) -> None:
    """UserError unless the model, what is trained, the optimizer and its schedule are those of the run."""
    wrong = []
    if "run" in saved:
        lines = differences(_resolved(config_from_dict(json.loads(saved["run"]))), _resolved(config))
        wrong = [line for line in lines if line.startswith(COMPARED)]
    expected = _groups(template)
    for name, values in _groups(saved).items():
        other = {key: value for key, value in values.items() if value != expected.get(name, values).get(key, value)}
        wrong += [f"{key} of {name}: {value} -> {expected[name][key]}" for key, value in other.items()]
    if wrong:
        line = f"the training state was made under other settings than this run's ({listed(wrong, 2)})"
        raise UserError(f"{line}: give the run those on the left", wrong)


def _resolved(config: RunConfig) -> RunConfig:
    return replace(config, optim=replace(config.optim, decay_steps=config.decay_steps))


def _groups(saved: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """AdamW's settings by parameter."""
    return {
        _name(saved, number): {key: value for key, value in group.items() if key not in NOT_COMPARED}
        for group in saved["optimizer"]["param_groups"]
        for number in group["params"]
    }


def _name(saved: Mapping[str, Any], number: int) -> str:
    names = saved["numbered"]
    return names[number] if number < len(names) else f"parameter number {number}"


def _moments(saved: Mapping[str, Any], trained: Iterable[str], step: int) -> dict[str, Tensors]:
    """Torch's two moments by the name of the parameter. UserError where one has made another number of updates."""
    import torch

    state = {_name(saved, number): values for number, values in saved["optimizer"]["state"].items()}
    if step == 0 and not state:  # torch makes them at the first update
        zeros = {name: torch.zeros_like(saved["model"][name]) for name in trained if name in saved["model"]}
        return dict.fromkeys(MOMENTS.values(), zeros)
    if lacking := [name for name, values in state.items() if not {"step", *MOMENTS.values()} <= values.keys()]:
        raise UserError(f"the optimizer is no AdamW, it has no moments of {listed(lacking)}", lacking)
    if other := [
        f"{name}: {float(values['step']):g}" for name, values in state.items() if float(values["step"]) != step
    ]:
        line = f"the state is of step {step}, but parameters have made other numbers of updates ({listed(other, 2)})"
        raise UserError(f"{line}: count the step as the updates made", other)
    return {theirs: {name: values[theirs] for name, values in state.items()} for theirs in MOMENTS.values()}


def _count(step: int) -> torch.Tensor:
    import torch

    return torch.tensor(float(step))
