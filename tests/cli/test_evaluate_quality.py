"""The suites `quality` and `long_range` through the command line, on a run, and on what cannot be scored."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jaxdec.cli.main import main
from jaxdec.config.model import DecoderConfig, EncoderDecoderConfig
from jaxdec.config.run import DataConfig, RunConfig
from jaxdec.errors import UserError
from jaxdec.evaluation.quality.segments import words
from jaxdec.evaluation.quality.stability import known_words
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.evaluation.suites.registry import require_suites
from tests.cli.conftest import Refused

DRAWN = ["--samples", "3", "--sample-tokens", "24", "--seed", "7"]


@pytest.fixture(scope="module")
def scored(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What the two suites say of the tiny run, and the page."""
    folder = tmp_path_factory.mktemp("scored")
    out, page = folder / "result.json", folder / "evaluation.html"
    words = ["evaluate", trained, "--suite", "quality,long_range", *DRAWN, "--out", out, "--html", page]
    assert main([str(word) for word in words]) == 0
    return json.loads(out.read_text()), page.read_text()


def test_the_figures_are_those_of_the_texts(scored: tuple[dict[str, Any], str], trained: Path, corpus: Path) -> None:
    quality = scored[0]["suites"]["quality"]
    texts, held_out = quality["texts"], quality["held_out_texts"]
    assert [len(text) for text in texts] == [24] * 3 == [len(text) for text in held_out]
    text = corpus.read_text()
    assert all(piece in text for piece in held_out) and len(set(held_out)) == 3
    vocabulary = {word.lower() for word in words(text[: int(0.9 * len(text))])}
    for side, pieces in (("samples", texts), ("held_out", held_out)):
        hits, cases = (sum(part) for part in zip(*(known_words(each, vocabulary) for each in pieces), strict=True))
        assert quality["stability"]["known_words"][side] == pytest.approx(hits / cases)
    assert quality["stability"]["known_words"]["held_out"] == 1
    assert not {"broken_words", "recut_tokens"} & quality["stability"].keys(), "characters are no subwords"
    assert quality["training"]["steps"] == 20
    json.dumps(quality, allow_nan=False)


def test_the_samples_are_what_generate_writes_and_do_not_depend_on_their_number(
    scored: tuple[dict[str, Any], str], trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "fewer.json"
    fewer = ["--samples", "2", "--sample-tokens", "24", "--seed", "7", "--out", str(out)]
    assert main(["evaluate", str(trained), "--suite", "quality", *fewer]) == 0
    assert json.loads(out.read_text())["suites"]["quality"]["texts"] == scored[0]["suites"]["quality"]["texts"][:2]


def test_a_learned_text_gains_from_context(scored: tuple[dict[str, Any], str]) -> None:
    """The text counts: what comes next follows from the number before, which one character does not tell."""
    rows = scored[0]["suites"]["long_range"]["context"]
    assert list(rows) == ["1", "2", "4", "8", "16"]
    losses = [row["loss"] for row in rows.values()]
    for (before, row), loss in zip(zip(losses, list(rows.values())[1:], strict=False), losses[1:], strict=True):
        assert row["gain"] == pytest.approx(before - loss, abs=1e-9)
    assert losses[-1] < losses[0]
    copying = scored[0]["suites"]["long_range"]["copying"]
    assert copying["tokens_each"] == 8 and abs(copying["copy_score"]) < 0.5


def test_the_page_holds_the_samples_and_the_curves(scored: tuple[dict[str, Any], str]) -> None:
    result, page = scored
    assert all(text.strip().splitlines()[0] in page for text in result["suites"]["quality"]["texts"])
    assert page.count("<svg role") == 3  # loss, gradient norm, loss by context; no update ratio was logged
    assert "not logged" in page


def test_a_run_whose_corpus_is_gone_is_measured_without_it(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an earlier step, too: its log ends there."""
    missing = ["--data.corpus", str(tmp_path / "gone.txt"), "--step", "10"]
    assert main(["evaluate", str(trained), "--suite", "quality,long_range", *DRAWN, *missing]) == 0
    said = capsys.readouterr().out
    assert said.count("gone.txt") == 2 == said.count("left out")
    assert "distinct-1" in said and "copy score" in said and re.search(r"\n    steps +10\n", said)
    assert "held-out" not in said.partition("training health\n")[2] and "words that the corpus has" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--suite", "qualty"], "did you mean 'quality'"),
        (["--suite", "quality", "--samples", "0"], "--samples is 0"),
        (["--suite", "quality", "--sample-tokens", "0"], "--sample-tokens is 0"),
        (["--suite", "quality", "--temperature", "-1"], "--temperature is -1"),
        (["--suite", "long_range", "--samples", "3"], "--samples means nothing to long_range"),
        (["--suite", "quality", "--html", "no/such/folder/page.html"], "there is no folder no/such/folder"),
        (["--suite", "quality", "--html", "."], "is a folder"),
        (["--html", "page.html"], "--html is for suites"),
    ],
)
def test_what_cannot_be_asked_is_one_line(refused: Refused, trained: Path, words: list[str], said: str) -> None:
    assert said in refused("evaluate", trained, *words)


def test_models_that_predict_no_next_token_are_refused() -> None:
    data = DataConfig("playlets")
    classifier = RunConfig(DecoderConfig(layers=1, heads=1, width=8, context=8, classes=2), data)
    translator = RunConfig(EncoderDecoderConfig(1, 1, 8, 8), data)
    for config, said in ((classifier, "a classifier predicts no tokens"), (translator, "an encoder-decoder")):
        for suite in ("quality", "long_range"):
            with pytest.raises(UserError, match=said):
                require_suites(config, [suite], SuiteOptions())
