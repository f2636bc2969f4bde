"""The train state, `{"step", "params", "opt"}`, created already sharded inside one jitted program.

Optimizer moments take the sharding of their parameter by rule: left to itself, jit would replicate them on every
device.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdec.distributed.sharding import param_shardings
from jaxdec.models.functional import Model

State = dict[str, Any]


def new_state(model: Model, optimizer: optax.GradientTransformation, key: jax.Array) -> State:
    """A state at step 0."""
    params = model.init(key)
    return {"step": jnp.zeros((), jnp.int32), "params": params, "opt": optimizer.init(params)}


def state_shardings(model: Model, optimizer: optax.GradientTransformation, mesh: Mesh) -> State:
    """The sharding of every leaf of the state."""
    abstract = jax.eval_shape(lambda: new_state(model, optimizer, jax.random.key(0)))
    params = param_shardings(mesh, model.axes, abstract["params"])
    replicated = NamedSharding(mesh, P())
    opt = optax.tree_utils.tree_map_params(
        optimizer, lambda _, sharding: sharding, abstract["opt"], params, transform_non_params=lambda _: replicated
    )
    return {"step": replicated, "params": params, "opt": opt}


def create_state(model: Model, optimizer: optax.GradientTransformation, mesh: Mesh, seed: int) -> State:
    """A fresh state on the mesh; no device ever holds more than its part."""
    create = jax.jit(
        lambda key: new_state(model, optimizer, key), out_shardings=state_shardings(model, optimizer, mesh)
    )
    return create(jax.random.key(seed))


def abstract_state(model: Model, optimizer: optax.GradientTransformation, mesh: Mesh) -> State:
    """Shapes, dtypes and shardings of the state, as the target of a restore."""
    shapes = jax.eval_shape(lambda: new_state(model, optimizer, jax.random.key(0)))
    shardings = state_shardings(model, optimizer, mesh)
    return jax.tree.map(lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), shapes, shardings)
