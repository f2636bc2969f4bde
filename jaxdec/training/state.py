"""The train state, `{"step", "params", "opt"}`, created already sharded inside one jitted program.

Where a stage compares the model with what it was at step 0, "first" holds those values of the trained parameters: a
part of every checkpoint, so that a resumed run compares with the same bits. Frozen ones are what they were.

Optimizer moments take the sharding of their parameter by rule: left to itself, jit would replicate them on every
device. Parameters that are frozen are in "params" like all others, and have no moments in "opt".
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdec.distributed.sharding import param_shardings
from jaxdec.models.functional import Params
from jaxdec.training.learner import Learner

State = dict[str, Any]


def new_state(learner: Learner, params: Params) -> State:
    """A state at step 0."""
    trained, _ = learner.split(params)
    state = {"step": jnp.zeros((), jnp.int32), "params": params, "opt": learner.optimizer.init(trained)}
    return state | {"first": jax.tree.map(jnp.copy, trained)} if learner.keeps_first else state


def state_shardings(learner: Learner, mesh: Mesh) -> State:
    """The sharding of every leaf of the state."""
    abstract = jax.eval_shape(lambda: new_state(learner, learner.model.init(jax.random.key(0))))
    params = param_shardings(mesh, learner.model.axes, abstract["params"])
    replicated = NamedSharding(mesh, P())
    opt = optax.tree_utils.tree_map_params(
        learner.optimizer,
        lambda _, sharding: sharding,
        abstract["opt"],
        learner.split(params)[0],
        transform_non_params=lambda _: replicated,
    )
    shardings = {"step": replicated, "params": params, "opt": opt}
    return shardings | {"first": learner.split(params)[0]} if learner.keeps_first else shardings


def create_state(learner: Learner, mesh: Mesh, seed: int) -> State:
    """A fresh state on the mesh; no device ever holds more than its part."""
    create = jax.jit(
        lambda key: new_state(learner, learner.model.init(key)), out_shardings=state_shardings(learner, mesh)
    )
    return create(jax.random.key(seed))


def state_from(learner: Learner, mesh: Mesh, params: Params) -> State:
    """A state at step 0 with these parameters. They are copied: a train step donates its state."""
    shardings, dtype = state_shardings(learner, mesh), learner.model.precision.params
    placed = {name: jax.device_put(param, shardings["params"][name]) for name, param in params.items()}

    def copied(params: Params) -> State:
        return new_state(learner, {name: jnp.copy(param).astype(dtype) for name, param in params.items()})

    return jax.jit(copied, out_shardings=shardings)(placed)


def abstract_state(learner: Learner, mesh: Mesh) -> State:
    """Shapes, dtypes and shardings of the state, as the target of a restore."""
    shapes = jax.eval_shape(lambda: new_state(learner, learner.model.init(jax.random.key(0))))
    shardings = state_shardings(learner, mesh)
    return jax.tree.map(lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), shapes, shardings)
