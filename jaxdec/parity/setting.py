"""Which weights in which precision: the setting that both sides of a pair are run in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Arrays = dict[str, np.ndarray]  # by the name of a parameter or of a tap
PairBatch = dict[str, np.ndarray]  # "tokens" and "targets" int32 [B,T], "mask" float32 [B,T], or what a pair draws
PrecisionName = Literal["float64", "float32", "bfloat16"]
WeightInit = Literal["init", "generic"]  # the model's own initial weights, or drawn ones of order one


@dataclass(frozen=True)
class Setting:
    """One run of both sides: which weights, in which precision."""

    weight_init: WeightInit = "generic"
    precision: PrecisionName = "float64"
    seed: int = 0

    def at(self, precision: PrecisionName) -> Setting:
        """The same weights in another precision."""
        return replace(self, precision=precision)

    def __str__(self) -> str:
        return f"{self.weight_init} weights in {self.precision}, seed {self.seed}"
