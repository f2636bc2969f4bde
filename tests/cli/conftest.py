"""Running the command line inside the test process, which is a hundred times faster than a process per line."""

from __future__ import annotations

import json
from collections.abc import Callable

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
