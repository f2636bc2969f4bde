"""The benchmark compares like with like: every side trains the same model on the same batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax
import pytest

from jaxdec.bench.train import SIZES, make_sides, summarise
from jaxdec.config.run import DataConfig, RunConfig, TrainConfig

CONFIG = RunConfig(
    model=replace(SIZES["small"], layers=1, width=16, context=8),
    data=DataConfig(corpus="random"),
    train=TrainConfig(tokens_per_step=32, steps_per_dispatch=3),
)


@pytest.fixture
def _float32() -> Iterator[None]:
    with jax.enable_x64(False):
        yield


@pytest.mark.usefixtures("_float32")
def test_our_side_and_torchs_report_the_same_losses() -> None:
    sides = make_sides(CONFIG, compiled=False)
    ours, theirs = sides["jaxdec"](3), sides["torch_eager"](3)
    assert len(set(ours)) == 3
    assert ours == pytest.approx(theirs, rel=2e-6)


def test_the_ratio_is_taken_within_rounds_to_the_better_side() -> None:
    seconds = {"jaxdec": [1.0, 2.0, 4.0], "torch_eager": [3.0, 6.0, 12.0], "torch_compile": [2.0, 3.0, 8.0]}
    figures = summarise(CONFIG, seconds, dict.fromkeys(seconds, 1.0))
    assert figures["better_torch"] == "torch_compile"
    assert (figures["ratio"], figures["ratio_min"], figures["ratio_max"]) == (2.0, 1.5, 2.0)
    assert figures["jaxdec_ms_per_step"] == 2000.0 and figures["jaxdec_tokens_per_second"] == 16
