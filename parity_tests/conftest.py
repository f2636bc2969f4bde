"""Both frameworks as exact as they go: float64 on, matrix products in full precision, no silent broadcasting."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.programs import drop_programs_when_many

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # read when JAX first looks for devices, so before any test module


@pytest.fixture(autouse=True, scope="module")  # not for the session: other folders' tests may follow in this process
def _exact_frameworks() -> Iterator[None]:
    import jax
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors: threads cost more than they bring
    with jax.enable_x64(True), jax.default_matmul_precision("highest"), jax.numpy_rank_promotion("raise"):
        yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _programs_within_limits() -> Iterator[None]:
    yield
    drop_programs_when_many()
