"""The device mesh, and the rules that map logical axes of arrays onto it.

Parameters are split over `fsdp`, batches over `data` and `fsdp`. Layers name logical axes only; this table is the one
place that knows the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdec.config.run import MeshConfig
from jaxdec.errors import UserError

AXES = ("data", "fsdp")
RULES: Mapping[str, str | tuple[str, ...] | None] = {
    "batch": ("data", "fsdp"),
    "time": None,
    "embed": "fsdp",
    "vocab": None,
    "heads": None,
    "mlp": None,
    "experts": None,
}


def make_mesh(config: MeshConfig) -> Mesh:
    """A mesh over the devices. Raises UserError when the axes ask for more devices than there are."""
    devices = jax.devices()
    data = config.data or max(1, len(devices) // config.fsdp)
    wanted = data * config.fsdp
    if wanted > len(devices) or (config.data is None and wanted != len(devices)):
        raise UserError(
            f"mesh.data {config.data} x mesh.fsdp {config.fsdp} does not fit the {len(devices)} {devices[0].platform} "
            "devices here: lower one of them"
        )
    return jax.make_mesh((data, config.fsdp), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices[:wanted])


def spec(axes: tuple[str | None, ...]) -> P:
    """The partition of an array whose dimensions carry these logical axes."""
    return P(*(None if axis is None else RULES[axis] for axis in axes))


def is_split(axis: str | None) -> bool:
    """Whether arrays with this logical axis lie in parts on the devices of the mesh in use (`jax.set_mesh`); None is an
    axis that never does."""
    mesh, names = jax.sharding.get_abstract_mesh(), None if axis is None else RULES[axis]
    return any(mesh.shape.get(name, 1) > 1 for name in ((names,) if isinstance(names, str) else names or ()))


def batch_shards(mesh: Mesh) -> int:
    """Into how many parts a batch is split."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def shares_threads(mesh: Mesh) -> bool:
    """Whether the devices are CPU devices that run on one pool of threads: two programs with collectives in flight at
    once, or one beside a background save, can then deadlock, so each is waited for before the next
    starts."""
    return mesh.size > 1 and mesh.devices.flat[0].platform == "cpu"


def param_shardings(
    mesh: Mesh, axes: Mapping[str, tuple[str | None, ...]], shapes: Mapping[str, Any]
) -> dict[str, NamedSharding]:
    """One sharding a parameter; a dimension that its mesh axis does not divide stays whole."""
    shardings = {}
    for name, logical in axes.items():
        parts = []
        for size, part in zip(shapes[name].shape, spec(logical), strict=True):
            parts.append(part if isinstance(part, str) and size % mesh.shape[part] == 0 else None)
        shardings[name] = NamedSharding(mesh, P(*parts))
    return shardings


def constrain_batch(x: jax.Array) -> jax.Array:
    """Keeps batch and time of an activation [B,T,...] split as the rules say; outside a mesh, x itself."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec(("batch", "time") + (None,) * (x.ndim - 2)))
