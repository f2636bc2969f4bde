"""Layer normalisation (Ba et al. 2016, equations 3 and 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchref.layers.promotion import at_least_float32


class LayerNorm(nn.Module):
    """x [..., width] -> the same shape and dtype: zero mean and unit variance over the width, then scale and bias.

    The variance is the biased one (divided by the width) and epsilon stands inside the root.
    """

    def __init__(self, width: int, *, epsilon: float, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = at_least_float32(x)
        bias = None if self.bias is None else self.bias.to(wide.dtype)
        return F.layer_norm(wide, self.weight.shape, self.weight.to(wide.dtype), bias, self.epsilon).to(x.dtype)
