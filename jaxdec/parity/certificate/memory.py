"""Compiled programs take memory maps, of which a process has a limited number."""

from __future__ import annotations

import gc


def free_programs() -> None:
    """Drops all compiled programs; those that are called again are compiled again."""
    import jax

    gc.collect()
    jax.clear_caches()
    gc.collect()
