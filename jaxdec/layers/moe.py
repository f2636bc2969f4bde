"""A mixture of experts in place of a feed-forward layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
from flax import nnx

from jaxdec import layer_config
from jaxdec.model_config import ModelConfig


class Routing(NamedTuple):
    """What a router has to say beside its layer's output.

    aux: auxiliary losses by name, scalars, already times their coefficients. metrics: scalars by name.
    """

    aux: dict[str, jax.Array]
    metrics: dict[str, jax.Array]


class MoE(nnx.Module):
    """x [B,T,D] -> [B,T,D] and a `Routing`. A key means training."""

    def __init__(self, config: ModelConfig, part: layer_config.MoE, *, rngs: nnx.Rngs):
        raise NotImplementedError

    def __call__(self, x_BTD: jax.Array, key: jax.Array | None) -> tuple[jax.Array, Routing]:
        raise NotImplementedError


def summarise(routings: Sequence[Routing]) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Auxiliary losses summed over layers, metrics averaged."""
    if not routings:
        return {}, {}
    aux, metrics = ({name: [each[part][name] for each in routings] for name in routings[0][part]} for part in (0, 1))
    return {name: sum(values) for name, values in aux.items()}, {
        name: sum(values) / len(values) for name, values in metrics.items()
    }
