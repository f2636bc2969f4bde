"""Which key a query may see, as predicates on positions that broadcast against each other."""

from __future__ import annotations

from torch import Tensor


def causal(query: Tensor, key: Tensor) -> Tensor:
    """A query sees its own position and all before it."""
    return key <= query
