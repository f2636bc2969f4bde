"""Speeds are those of finished work, and MFU is held against a stated peak or not given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxdec.config.run import Precision
from jaxdec.models.flops import training_flops
from jaxdec.training import reporting
from jaxdec.training.reporting import LateMetrics, LogLine
from jaxdec.training.throughput import Throughput, peak_tflops
from tests import tiny

CONFIG = tiny.run_config(model=tiny.MODEL, train=replace(tiny.TRAIN, steps=1000, log_every=10, peak_tflops=0.001))
CPU = SimpleNamespace(device_kind="cpu")


def test_the_numbers_follow_from_steps_and_seconds() -> None:
    throughput = Throughput(CONFIG, [CPU, CPU])
    throughput.start(100.0, 40)
    values = throughput.measure(102.0, 60)
    flops = 64 * training_flops(tiny.MODEL, 11, 8)
    assert values == pytest.approx(
        {
            "seconds_per_step": 0.1,
            "tokens_per_second": 640.0,
            "tokens_per_second_per_device": 320.0,
            "flops_per_step": flops,
            "flops_per_second_per_device": flops / 0.1 / 2,
            "mfu": flops / 0.1 / 2 / 1e9,
        }
    )


def test_a_report_covers_the_last_second_at_least() -> None:
    throughput = Throughput(CONFIG, [CPU])
    throughput.start(0.0, 0)
    speeds = [throughput.measure(time, step)["seconds_per_step"] for time, step in ((1.0, 10), (2.0, 20), (2.5, 70))]
    assert speeds == pytest.approx([0.1, 0.1, 1.5 / 60]), "of the last: 60 steps since second 1"
    assert throughput.measure(2.6, 70)["seconds_per_step"] == pytest.approx(1.6 / 60)
    throughput.start(9.0, 70)
    assert throughput.measure(9.0, 70) == {}, "no work, no speed"
    assert throughput.measure(9.5, 80)["seconds_per_step"] == pytest.approx(0.05), "the pause before does not count"


class Ready(SimpleNamespace):
    """An array of metrics that the device has finished, or has not."""

    def is_ready(self) -> bool:
        return self.ready


def test_work_finished_before_it_is_read_is_not_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dispatch takes a second. The last is read 80 microseconds after the one before: nothing was done in between."""
    clock = [0.0]
    monkeypatch.setattr(reporting.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(jax, "device_get", lambda metrics: {name: leaf.values for name, leaf in metrics.items()})
    rows: list[dict[str, Any]] = []
    late = LateMetrics(CONFIG, lambda: "", Throughput(CONFIG, [CPU]))

    def take(reports: Iterator[LogLine]) -> None:
        rows.extend(row for _, row in reports)

    for start in range(0, 50, 10):
        late.begin(start)
        clock[0] += 30.0 if start == 0 else 1.0  # the first compiles
        take(late.push(start, start + 10, {"loss": Ready(values=jnp.ones(10), ready=True)}))  # type: ignore[dict-item]
    clock[0] += 80e-6
    take(late.flush())
    assert [row.get("seconds_per_step") for row in rows] == [None, *[pytest.approx(0.1, rel=0.01)] * 4]
    clock[0] += 600.0  # an evaluation
    late.begin(50)
    clock[0] += 2.0
    take(late.push(50, 60, {"loss": Ready(values=jnp.ones(10), ready=True)}))  # type: ignore[dict-item]
    take(late.flush())
    assert rows[-1]["seconds_per_step"] == pytest.approx(0.2)


def test_a_peak_is_stated_or_published_and_never_invented() -> None:
    asked = replace(CONFIG, precision=Precision(compute="bfloat16"))
    unasked = replace(asked, train=replace(asked.train, peak_tflops=None))
    assert peak_tflops(asked, "NVIDIA H200") == 0.001
    assert peak_tflops(unasked, "NVIDIA H200") == 989.5
    assert peak_tflops(replace(unasked, precision=Precision()), "NVIDIA A100-SXM4-80GB") == 156.0
    for unknown in ("cpu", "NVIDIA H200 MIG 1g.18gb"):
        assert peak_tflops(unasked, unknown) is None
        throughput = Throughput(unasked, [SimpleNamespace(device_kind=unknown)])
        throughput.start(0.0, 0)
        assert "mfu" not in throughput.measure(1.0, 1)
    exact = replace(unasked, precision=Precision(params="float64", compute="float64"))
    assert peak_tflops(exact, "NVIDIA H200") is None
