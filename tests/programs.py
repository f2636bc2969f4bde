"""Keeps the number of compiled programs in a test process within what Linux allows."""

from __future__ import annotations

import gc
from pathlib import Path

MOST_MAPS = 20_000  # of the 65,530 that a process may have by default; compiling fails at that number by an abort


def drop_programs_when_many() -> None:
    """A compiled program takes some hundred memory maps, and all tests of a process share it: past a limit all are
    dropped, and compiled again where they are called again."""
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        import jax

        jax.clear_caches()
        gc.collect()
