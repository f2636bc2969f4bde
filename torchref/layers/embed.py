"""A table with one trained vector per token or position."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Embed(nn.Module):
    """indices [...] -> [..., width] in `compute_dtype`; `weight` is [rows, width], drawn from normal(0, init_std)."""

    def __init__(self, rows: int, width: int, *, init_std: float, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(init_std * torch.randn(rows, width))
        self.compute_dtype = compute_dtype

    def forward(self, indices: Tensor) -> Tensor:
        return self.weight.to(self.compute_dtype)[indices]
