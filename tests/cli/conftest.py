"""Running the command line inside the test process, which is a hundred times faster than a process per line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxdec.cli.main import main

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that must fail with exit code 2 and one line on stderr; returns that line."""

    def run(*words: object, exit_code: int = 2) -> str:
        assert main([str(word) for word in words]) == exit_code
        captured = capsys.readouterr()
        line = captured.err.removeprefix("jaxdec: ").strip()
        assert captured.out == (json.dumps({"error": line}) + "\n" if "--json" in words else "")
        assert captured.err.count("\n") == 1, captured.err
        assert "Traceback" not in captured.err
        return line

    return run


# The smallest run that still has several windows, evaluations and checkpoints; four sequences a step, one per device.
TINY = [
    *[
        "--model.layers",
        "1",
        "--model.heads",
        "2",
        "--model.width",
        "16",
        "--model.context",
        "16",
        "--data.sweep-stride",
        "8",
    ],
    *[
        "--train.tokens-per-step",
        "64",
        "--train.steps",
        "20",
        "--optim.warmup-steps",
        "2",
        "--train.checkpoint-every",
        "10",
    ],
    *["--train.eval-every", "10", "--train.eval-batches", "2"],
]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small text file in which the next character is nearly certain."""
    path = tmp_path_factory.mktemp("corpus") / "counting.txt"
    path.write_text("".join(f"{number} and {number + 1} and\n" for number in range(10, 90)) * 3, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A finished tiny run."""
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "char-gpt", *TINY, "--data.corpus", str(corpus), "--out", str(run_dir)]) == 0
    return run_dir
