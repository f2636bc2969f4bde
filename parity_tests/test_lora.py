"""Adapters in both packages: the same function, the same gradients of the adapters alone, the same training."""

from __future__ import annotations

