"""The affine map y = x W^T + b."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Module):
    """x [..., inputs] -> [..., outputs], computed in the dtype of x.

    `weight` is [outputs, inputs] as in `torch.nn.Linear`, drawn from normal(0, init_std); the bias starts at zero.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool, init_std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(init_std * torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)
