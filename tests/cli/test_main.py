"""Exit codes, `--json`, help, and a start that does not wait for jax."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jaxdec.cli import main as cli
from jaxdec.errors import INTERNAL_ERROR, TrainingError, UserError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Replaces `jaxdec list` by a function."""

    def replace(body: Callable[[], Any]) -> None:
        module = SimpleNamespace(run=lambda argv: body())
        monkeypatch.setattr(cli.importlib, "import_module", lambda name: module)

    return replace


def raising(error: BaseException) -> Callable[[], Any]:
    def body() -> Any:
        print("so far so good")
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("what\nwhere"), 2, "what where"),
        (TrainingError("loss is nan at step 3"), 1, "loss is nan at step 3"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "runs/a"), 2, "cannot read or write runs/a: No space left on device"),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 GiB"), 1, "out of memory: give a smaller"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_goes_wrong_is_one_line_and_a_code(
    error: BaseException, code: int, line: str, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(error))
    assert cli.main(["list"]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(f"jaxdec: {line}")
    assert captured.err.count("\n") == 1
    assert cli.main(["list", "--json"]) == code
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"].startswith(line)
    assert captured.out.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), AssertionError("a bug"), KeyError("a bug")])
def test_a_bug_is_not_hidden_and_has_a_code_of_its_own(
    error: Exception, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(error))
    assert cli.main(["list"]) == INTERNAL_ERROR == 3
    *traceback, last = capsys.readouterr().err.splitlines()
    assert traceback[0].startswith("Traceback") and any("raise error" in line for line in traceback)
    assert last.startswith("jaxdec: internal error") and "a bug" in last
    assert cli.main(["list", "--json"]) == 3
    assert "internal error" in json.loads(capsys.readouterr().out)["error"]


def test_json_leaves_stdout_to_the_one_line(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> dict[str, Any]:
        print("for people")
        return {"loss": 1.5}

    command(body)
    assert cli.main(["list", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"loss": 1.5}
    assert captured.err == "for people\n"
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == "for people\n"


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_the_overview_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    page = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"\n  {name}" in page


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"usage: jaxdec {name}")
    assert "--json" in page


def run_apart(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jaxdec.cli.main", *words], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "list",
        "train --help",
        "train char-gtp",
        "train char-gpt --data.window 65",
        "train char-gpt --out .",
        "generate nowhere",
        "prepare --x",
    ],
)
def test_help_lists_and_mistakes_do_not_wait_for_jax(words: str) -> None:
    code = f"""
import sys
from jaxdec.cli.main import main
main({words.split()})
heavy = [name for name in ("jax", "flax", "torch", "matplotlib.pyplot", "orbax") if name in sys.modules]
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_the_console_command_as_a_process() -> None:
    result = run_apart("train", "char-gpt", "--train.step", "3")
    assert result.returncode == 2
    assert result.stderr == "jaxdec: unknown flag --train.step (did you mean '--train.steps'?)\n"
    assert result.stdout == ""


@pytest.mark.parametrize("reader", ["head -1", "(exec 0<&-; sleep 1)"])  # the second is gone before a word is written
@pytest.mark.parametrize("words", ["--help", "train --help"])
def test_a_reader_that_leaves_early_is_no_error(words: str, reader: str) -> None:
    shell = f"env -u PYTHONUNBUFFERED {sys.executable} -m jaxdec.cli.main {words} | {reader}"  # buffered, as usual
    result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120)
    assert result.stdout.startswith("usage: jaxdec" if "head" in reader else "")
    assert result.stderr == ""
