"""Whoever reads the output of a long run may leave: the run goes on."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jaxdec.checkpoints.files import complete_steps
from jaxdec.cli import main as cli
from jaxdec.cli.console import Lasting, lasting_console
from tests.cli.conftest import TINY


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of the shell")
@pytest.mark.parametrize("words", ["", "--json --train.evaluate none"])
def test_a_run_outlives_the_reader_of_its_output(words: str, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "jaxdec.cli.main", "train", "char-gpt", *TINY, "--out", str(run)]
    command += ["--data.corpus", str(corpus), *words.split()]
    pipe = "| head -3" if not words else "2>&1 | head -3"  # with --json everything for people goes to stderr
    shell = f"{' '.join(command)} {pipe}; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0
    assert result.stdout.startswith("model ") and result.stdout.count("\n") == 3
    line = f"jaxdec: the reader of this output has gone: the run goes on, its numbers go to {run}/metrics.jsonl\n"
    assert result.stderr == (line if not words else "")
    assert complete_steps(run / "checkpoints") == [10, 20]
    assert json.loads((run / "summary.json").read_text())["steps"] == 20
    assert (run / "metrics.jsonl").read_text().count('"sweep_loss"') == (0 if words else 1)


def test_both_streams_may_have_lost_their_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", Closed())
    with lasting_console(Path("run")):
        print("to nobody")
        print("to nobody", file=sys.stderr)
    assert isinstance(sys.stdout, Closed)


def test_other_errors_of_a_stream_are_errors() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        Lasting(Full(), lambda: None).write("a line")


@pytest.mark.parametrize("code", [0, 1, None, "done"])
def test_a_library_that_exits_is_no_success(
    code: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(argv: list[str]) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: type("Module", (), {"run": staticmethod(run)}))
    assert cli.main(["list"]) == cli.INTERNAL_ERROR
    assert f"a library wanted to end the program with SystemExit({code!r})" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of the shell")
def test_a_short_command_ends_in_silence() -> None:
    shell = f"{sys.executable} -m jaxdec.cli.main list | head -1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120, env=os.environ)
    assert (result.returncode, result.stderr, result.stdout.count("\n")) == (0, "", 1)
