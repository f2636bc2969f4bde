"""Which key a query may see, as predicates on positions.

A predicate takes positions that broadcast against each other and uses only comparisons and `&`, so that numpy, JAX and
torch arrays all work: training, the cached decoder and the PyTorch reference read the same rule.
"""

from __future__ import annotations

from typing import Any


def causal(query: Any, key: Any) -> Any:
    """A query sees its own position and all before it."""
    return key <= query
