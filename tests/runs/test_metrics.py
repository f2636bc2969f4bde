"""metrics.jsonl keeps every number, also across kills and resumes; the console tells what it should."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import DataConfig, LogConfig, RunConfig, TrainConfig
from jaxdec.errors import UserError
from jaxdec.runs.console import Progress
from jaxdec.runs.metrics import MetricsLog, read_metrics

RUN = RunConfig(
    model=DecoderConfig(layers=1, heads=1, width=8, context=8),
    data=DataConfig("playlets"),
    train=TrainConfig(steps=100),
)


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[int, dict[str, float]]] = []
        self.closed = False

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.seen.append((step, dict(values)))

    def close(self) -> None:
        self.closed = True


def test_each_write_is_one_line_on_disk_at_once(tmp_path: Path) -> None:
    recorder = Recorder()
    with MetricsLog(tmp_path / "run", RUN, [recorder]) as log:
        log.write(10, {"loss": 3.5, "gradient_norm": float("nan")})
        lines = log.path.read_text().splitlines()
        assert [json.loads(line) for line in lines] == [{"step": 10, "loss": 3.5, "gradient_norm": None}]
    assert recorder.seen[0][0] == 10
    assert recorder.closed


@given(steps=st.lists(st.integers(0, 50), max_size=20), restored=st.integers(0, 50), cut=st.integers(0, 12))
def test_resuming_drops_what_will_be_done_again(
    steps: list[int], restored: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run_dir = tmp_path_factory.mktemp("run")
    with MetricsLog(run_dir, RUN, []) as log:
        for step in sorted(steps):
            log.write(step, {"loss": step / 3})
    with open(log.path, "a") as file:
        file.write('{"step": 51, '[:cut])  # what a kill in the middle of a write leaves
    with MetricsLog(run_dir, RUN, []) as log:
        log.truncate_after(restored)
        log.write(99, {"loss": 1.0})
    kept = [(line["step"], line["loss"]) for line in read_metrics(log.path)]
    assert kept == [(step, step / 3) for step in sorted(steps) if step <= restored] + [(99, 1.0)]
    assert len(log.path.read_text().splitlines()) == len(kept)


@pytest.mark.parametrize(
    "bad", [b'{"step": 20, "loss": \xff2.5}', b"\0\0\0\0", b'{"step": 2.0}', b'{"step": 20, "loss": "2.5"}', b"[20]"]
)
def test_a_damaged_line_is_set_aside(bad: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 10, "loss": 3.0}\n' + bad + b'\n{"step": 30, "loss": 2.0}\n{"step": 4')
    assert [line["step"] for line in read_metrics(path)] == [10, 30]
    with MetricsLog(tmp_path, RUN, []) as log:
        log.truncate_after(30)
    assert path.read_text() == '{"step": 10, "loss": 3.0}\n{"step": 30, "loss": 2.0}\n'
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == bad + b"\n", "and not what a kill cut short"
    told = capsys.readouterr().err
    assert told == f"warning: 1 line of {path} cannot be read: moved to metrics.jsonl.damaged\n"


def test_the_evaluation_at_an_earlier_end_stays(tmp_path: Path) -> None:
    """A run of 100 steps that is now to have 200 keeps it; the same run evaluates again."""
    evaluated = '{"step": 100, "sweep_loss": 2.0}\n'
    for steps, left in ((100, ""), (200, evaluated)):
        (tmp_path / "metrics.jsonl").write_text(evaluated)
        with MetricsLog(tmp_path, dataclasses.replace(RUN, train=TrainConfig(steps=steps)), []) as log:
            log.truncate_after(100)
        assert log.path.read_text() == left


@pytest.mark.parametrize("sink", ["tensorboard", "wandb"])
def test_a_sink_that_is_not_installed_is_named(sink: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"log.{sink} needs an extra.*jaxdec\[{sink}\]"):
        MetricsLog(tmp_path / "run", dataclasses.replace(RUN, log=LogConfig(**{sink: True})))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sink", ["tensorboard", "wandb"])
def test_a_sink_that_is_asked_for_gets_the_numbers(sink: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    board = SimpleNamespace(add_scalar=lambda *row: calls.append(row), close=lambda: calls.append("closed"))
    run = SimpleNamespace(log=lambda row, step: calls.append((row, step)), finish=lambda: calls.append("closed"))
    modules = {
        "tensorboard": ("tensorboardX", SimpleNamespace(SummaryWriter=lambda logdir: board)),
        "wandb": ("wandb", SimpleNamespace(init=lambda **_: run)),
    }
    monkeypatch.setitem(sys.modules, *modules[sink])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with MetricsLog(tmp_path / "run", dataclasses.replace(RUN, log=LogConfig(**{sink: True}))) as log:
        log.write(10, {"loss": 2.0})
    assert calls == [("loss", 2.0, 10) if sink == "tensorboard" else ({"loss": 2.0}, 10), "closed"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the run directory should be")
    with pytest.raises(UserError, match=r"cannot write .*metrics\.jsonl"):
        MetricsLog(tmp_path / "run", RUN, [])


def test_progress_gives_speed_and_remaining_time(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([100.0, 102.0, 104.0])  # the first report starts the clock: compilation does not count
    progress = Progress(total=100, tokens_per_step=500, clock=lambda: next(times))
    progress.write(10, {"loss": 3.21987, "learning_rate": 1e-3})
    progress.write(20, {"loss": 3.0})
    progress.write(30, {"loss": 2.5, "tokens_per_second": 1e3, "flops_per_second_per_device": 4.56e13, "mfu": 0.4567})
    progress.close()
    assert capsys.readouterr().out.splitlines() == [
        "step  10/100  loss 3.2199  lr 1.00e-03",
        "step  20/100  loss 3.0000  2,500 tokens/s  ETA 0:16",
        "step  30/100  loss 2.5000  1,000 tokens/s  45.6 TFLOP/s  MFU 45.7 %  ETA 0:14",
    ]


def test_the_floor_stands_beside_the_loss_that_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    """The final evaluation has both protocols, whose losses differ; the excess is that of the sweep."""
    final = {"validation_loss": 1.0666, "sweep_loss": 1.0128, "floor": 0.1973, "excess": 0.8155}
    Progress(total=400, tokens_per_step=500, validated_on="random windows").write(400, final)
    assert capsys.readouterr().out.splitlines() == [
        "step 400  validation loss, random windows 1.0666",
        "step 400  validation loss, complete sweep 1.0128  entropy floor 0.1973  excess 0.8155",
    ]


def test_progress_on_a_terminal_rewrites_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    progress = Progress(total=100, tokens_per_step=500, clock=iter(range(9)).__next__)
    for step in (10, 20, 30):
        progress.write(step, {"loss": 3.0})
    progress.close()
    assert terminal.getvalue().count("\n") == 1
    assert "step  30/100" in terminal.getvalue()
