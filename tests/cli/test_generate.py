"""The parts of `jaxdec generate` that need no model."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.generate import GenerateOptions
from jaxdec.cli.typewriter import Typewriter


def test_prompts_may_be_many_and_may_look_like_flags() -> None:
    words = [
        "runs/a",
        "--prompt",
        "-x",
        "--prompt=--y",
        "--prompt",
        "two words",
        "--prompt=",
        "--temperature",
        "-1",
        "--json",
    ]
    arguments = parse("generate", GenerateOptions(), words, about="")
    assert arguments == GenerateOptions(
        run=Path("runs/a"), prompt=("-x", "--y", "two words", ""), temperature=-1.0, json=True
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--prompt", "--prompt needs a value: give text"),
        ("--top-k many", "--top-k is 'many': give a whole number or None"),
        ("--top_q 0.5", "unknown flag --top-q (did you mean '--top-p'?)"),
        ("--greedy=True", "--greedy is a switch and takes no value"),
    ],
)
def test_a_slip_gets_one_line(words: str, said: str, refused) -> None:
    assert refused("generate", "runs/a", *words.split()) == said


def test_the_first_text_is_live_and_the_others_wait_their_turn(capsys: pytest.CaptureFixture[str]) -> None:
    typewriter = Typewriter(["To ", "Or "])
    assert capsys.readouterr().out == ""
    typewriter.add(0, "be")
    typewriter.add(1, "not")
    assert capsys.readouterr().out == "To be"
    typewriter.add(0, "!")
    typewriter.close()
    assert capsys.readouterr().out == "!\n" + "-" * 40 + "\nOr not\n"
