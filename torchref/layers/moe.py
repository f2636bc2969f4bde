"""A mixture of experts in place of a feed-forward layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from jaxdec import layer_config
from jaxdec.model_config import ModelConfig


class Routing(NamedTuple):
    """What a router has to say beside its layer's output: auxiliary losses, times their coefficients, and metrics."""

    aux: dict[str, Tensor]
    metrics: dict[str, Tensor]


class MoE(nn.Module):
    """x [B,T,D] -> [B,T,D] and a `Routing`."""

    def __init__(self, config: ModelConfig, part: layer_config.MoE) -> None:
        raise NotImplementedError


def summarise(routings: Sequence[Routing]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Auxiliary losses summed over layers, metrics averaged."""
    if not routings:
        return {}, {}
    aux, metrics = ({name: [each[part][name] for each in routings] for name in routings[0][part]} for part in (0, 1))
    return {name: sum(values) for name, values in aux.items()}, {
        name: sum(values) / len(values) for name, values in metrics.items()
    }
