"""What every model returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """Logits [B,T,V] in at least float32; auxiliary losses and metrics by name, scalars, the former times their
    coefficients."""

    logits_BTV: Tensor
    aux: dict[str, Tensor]
    metrics: dict[str, Tensor]
