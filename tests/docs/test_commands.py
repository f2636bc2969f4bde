"""Commands that the pages show are accepted as they stand: every flag is there, and every value fits."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

import jaxdec.cli.startup
from jaxdec.cli.main import COMMANDS
from jaxdec.errors import UserError

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"```(?:sh|text)?\n(.*?)```|((?:^    .*\n)+)", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(jaxdec [a-z]+ [^`]+)`")
PLACEHOLDER = re.compile(r"\b(RUN|RECIPE|SPEC|NAME|RUNG|PATH|KIND|DIR|FILE|COMMAND|WHAT)\b|\.\.\.|[\[|]")
# What a command says that was read to its end and found no such run, file or pair here.
READ = re.compile(
    r"is not a run directory|does not exist|no config file|no such file|is no dump|no folder|has no|unknown pair|"
    r"^say what to"
)
AT_WORK_AT_ONCE = ("jaxdec bench start", "jaxdec bench prepare", "jaxdec prepare")  # without jax


class Accepted(Exception):
    """The command line was read; what comes next would start jax."""


def commands() -> list[str]:
    """Each command of the README and of docs/, once; a line that ends in a backslash goes on."""
    found: list[str] = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for match in BLOCK.finditer(text) for line in "".join(filter(None, match.groups())).splitlines()]
        for line in [*lines, *INLINE.findall(text)]:
            line = line.strip().removeprefix("$ ")
            for part in line.split("#")[0].split(" && "):
                known = part.startswith("jaxdec ") and part.split()[1] in COMMANDS
                if known and not PLACEHOLDER.search(part) and not part.startswith(AT_WORK_AT_ONCE):
                    found.append(" ".join(part.split(" | ")[0].split()))
    return list(dict.fromkeys(found))


def run_and_accept(command: str, words: list[str]) -> None:
    """Runs a command. Raises Accepted where it gets as far as jax, or to its end without it."""
    importlib.import_module(f"jaxdec.cli.{command}").run(words)
    raise Accepted


@pytest.mark.parametrize("line", commands())
def test_a_documented_command_is_accepted(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop() -> None:
        raise Accepted

    monkeypatch.setattr(jaxdec.cli.startup, "start_jax", stop)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    command, *words = shlex.split(line)[1:]
    if line.startswith(("jaxdec parity", "jaxdec bench train")):
        pytest.importorskip("torch", reason="it compares with PyTorch: the extra torch")
    with pytest.raises((Accepted, UserError, SystemExit)) as ended:
        run_and_accept(command, words)
    if not isinstance(ended.value, Accepted):
        said = str(ended.value)
        assert ("--help" in words and said in ("0", "None")) or READ.search(said), f"{line}: {said}"


def test_the_commands_are_found() -> None:
    assert len(commands()) > 40
    assert any("--model.mlp.1.experts" in line for line in commands())
