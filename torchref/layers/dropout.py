"""Inverted dropout (Srivastava et al. 2014): what is kept is scaled up, so that nothing changes at evaluation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """x -> the same shape; in training each element is dropped with probability `rate`, the rest divided by 1 - rate.

    `keep`, when set, is the mask to use instead of a drawn one: two frameworks never draw the same numbers, so a
    comparison hands both the same mask.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.keep: Tensor | None = None

    @property
    def active(self) -> bool:
        return self.training and self.rate > 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return x
        keep = torch.rand(x.shape, device=x.device) >= self.rate if self.keep is None else self.keep
        return torch.where(keep, x / (1 - self.rate), 0)
