"""Which key positions a query position may read."""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(length: int, device: torch.device | None = None) -> Tensor:
    """[T, S] bool: position t reads positions 0 to t, itself included."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()
