"""The unit tests' world: four CPU devices, no silent broadcasting, and a cache folder of their own.

Set as environment variables, before anything imports jax, so that commands started as processes get the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.programs import drop_programs_when_many

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "4"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"


@pytest.fixture(autouse=True, scope="session")
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # Processes of one pytest-xdist run share it, as the processes of a user do.
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXDEC_CACHE_DIR", str(shared / "jaxdec-cache"))
        yield


@pytest.fixture(autouse=True)
def _programs_within_limits() -> Iterator[None]:
    yield
    drop_programs_when_many()
