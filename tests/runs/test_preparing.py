"""What is told while shards are made: rate and time left of the work at hand, now and then, and only on stderr."""

from __future__ import annotations

import io
import sys

import pytest

from jaxdec.data.shards import Progress
from jaxdec.runs.preparing import Preparing


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_plain_line_now_and_then(capsys: pytest.CaptureFixture[str]):
    clock = Clock()
    with Preparing(clock=clock) as report:
        for second in range(25):
            clock.now = 100.0 + second
            report(Progress("encoding", 2_000_000 * second + 1_000_000, 500_000 * second, share=0.2 + second / 50))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "encoding  40 %  21.0 M characters, 5.0 M tokens  2.0 M/s  0:30 left",
        "encoding  60 %  41.0 M characters, 10.0 M tokens  2.0 M/s  0:20 left",
    ]


def test_what_is_not_known_is_left_out(capsys: pytest.CaptureFixture[str]):
    clock = Clock()
    with Preparing(clock=clock) as report:
        report(Progress("waiting for another process"))
        for second in (0, 10, 3700):
            clock.now = 100.0 + second
            report(Progress("encoding", 1_000_000 * second))
    assert capsys.readouterr().err.splitlines() == [
        "waiting for another process",
        "encoding",
        "encoding  10.0 M characters  1.0 M/s",
        "encoding  3,700.0 M characters  1.0 M/s",
    ]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock, terminal = Clock(), Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys, "stderr", terminal)
    with Preparing(clock=clock) as report:
        report(Progress("encoding", 0, 0, share=0.0))
        clock.now += 7000
        report(Progress("encoding", 9_000_000, 2_000_000, share=0.5))
    assert "9.0 M characters, 2.0 M tokens  0.0 M/s  1:56:40 left" in terminal.getvalue()
    assert "━" in terminal.getvalue()
