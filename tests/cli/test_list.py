"""`jaxdec list`: the ladder and everything that has a name, on lines that fit a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jaxdec.cli.list import in_short
from jaxdec.cli.main import main
from jaxdec.models.ladder import LADDER
from jaxdec.recipes import recipe_names


@pytest.fixture
def listed(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    assert main(["list", "--json"]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_all_that_has_a_name_is_there(listed: tuple[dict[str, Any], str]) -> None:
    result, told = listed
    assert [rung["rung"] for rung in result["ladder"]] == [rung.name for rung in LADDER]
    assert list(result["recipes"]) == recipe_names()
    assert {"playlets", "markov", "tinyshakespeare", "induction", "modular", "fra_eng", "reverse"} <= set(
        result["corpora"]
    )
    assert set(result["tokenizers"]) == {"char", "words", "gpt2", "bpe", "huggingface", "sentencepiece"}
    for part in ("recipes", "corpora", "tokenizers"):
        for name in result[part]:
            assert f"\n  {name} " in told
    for rung in LADDER:
        assert f"\n  {rung.name:<18}{rung.adds}" in told


def test_figures_are_those_published(listed: tuple[dict[str, Any], str]) -> None:
    rungs = {rung["rung"]: rung for rung in listed[0]["ladder"]}
    assert rungs["gpt2"]["parameters"] == 124_439_808
    assert rungs["char-gpt"]["flops_per_token"] == 6 * (4 * 12 * 128**2 + 65 * 128) + 6 * 4 * 64 * 128
    assert " 124M            798M\n" in listed[1]
    assert " 1.56B            9.8G\n" in listed[1]


def test_the_page_fits_a_terminal(listed: tuple[dict[str, Any], str]) -> None:
    assert max(map(len, listed[1].splitlines())) <= 110
    head, *rungs = listed[1].splitlines()[: 1 + len(LADDER)]
    assert {len(line) for line in rungs} == {len(head)}, "the figures stand in columns"


@pytest.mark.parametrize(
    ("number", "text"), [(7, "7"), (999, "999"), (999.6, "1K"), (1500, "1.5K"), (999_600, "1M"), (2e15, "2e+03T")]
)
def test_numbers_in_short(number: float, text: str) -> None:
    assert in_short(number, "KMBT") == text
