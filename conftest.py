"""One cache of compiled programs for all tests: workers, and files that use the same tiny model, compile it once."""

from __future__ import annotations

import os
from importlib.metadata import version

import pytest
from hypothesis import settings

# Tests compile many tiny programs and run each a few times: compiling is most of their time, and this makes it a fifth.
# It changes the machine code made of an operation, not which operations run: types, casts and XLA's own passes stay.
# Where XLA_FLAGS is set, even to nothing, it stays as it is: `make test-long` compiles as users' runs do.
FAST_COMPILING = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_parallel_codegen_split_count=1",
    # XLA ends the process at a flag that it does not know; newer versions do not have this one.
    *(["--xla_cpu_use_fusion_emitters=false"] if version("jaxlib").startswith("0.10.") else []),
)

# The same examples in every run, so that a failure is one of the change at hand; no deadline, since the first example
# compiles; no database, since processes would share it.
settings.register_profile("jaxdec", deadline=None, derandomize=True, database=None)
settings.load_profile("jaxdec")


def pytest_configure(config: pytest.Config) -> None:
    """Set before the workers start and before jax is imported. Entries are keyed by the program, so that none is ever
    stale; they lie in pytest's own cache folder, which a new checkout does not have."""
    os.environ.setdefault("XLA_FLAGS", " ".join(FAST_COMPILING))
    cache = getattr(config, "cache", None)
    if cache is not None and not hasattr(config, "workerinput"):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache.mkdir("xla")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
