"""Induction: what the text is, what its entropy is, and that two attention layers solve it and one does not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from jaxdec.config.parts import MLP
from jaxdec.data.corpora import induction
from jaxdec.data.corpora.registry import load_corpus
from tests.data.corpora.solving import solve


def test_every_answer_is_the_letter_that_followed() -> None:
    text = induction.generate(lines=500)
    assert len(text) == 500 * induction.LINE
    for line in text.splitlines():
        shown, asked = line[: induction.SHOWN], line[induction.SHOWN :]
        assert len(set(shown)) == induction.SHOWN
        assert len(asked) == 2 * induction.QUESTIONS
        for question, answer in zip(asked[::2], asked[1::2], strict=True):
            assert shown[shown.index(question) + 1] == answer


@pytest.mark.parametrize("start", [0, 5, 17, 18, 40])
def test_answers_are_found_in_any_stretch(start: int) -> None:
    text = induction.generate(lines=10)
    expected = [start + index for index in range(90) if (start + index) % 18 in (6, 8, 10, 12, 14, 16)]
    assert (start + np.flatnonzero(induction.answers(text[start : start + 90]))).tolist() == expected


def test_the_text_depends_on_the_seed_alone() -> None:
    assert induction.generate(20) == induction.generate(30)[: 20 * induction.LINE]
    assert induction.generate(20, seed=2) != induction.generate(20)
    assert induction.fingerprint(20, 2) != induction.fingerprint(20)
    assert induction.generate(1) == "ovrgfgfvrrggfgfgf\n", "the stream of a seed is kept"


def test_the_entropy_is_that_of_the_choices() -> None:
    choices = math.log(26 * 25 * 24 * 23 * 22) + 6 * math.log(4)
    assert induction.entropy_rate() == pytest.approx(choices / 18)
    corpus = load_corpus("induction")
    assert corpus.conditional_entropy is not None and corpus.answers is not None
    assert corpus.conditional_entropy(1) == corpus.conditional_entropy(100) == induction.entropy_rate()
    counts = np.unique([line[0] for line in corpus.text.splitlines()], return_counts=True)[1]
    assert len(counts) == 26 and counts.min() > 0.9 * counts.mean(), "and all letters are as likely"


@pytest.mark.long  # 2,400 steps: code that was compiled fast takes long to run them
def test_two_layers_solve_it_and_one_does_not(tmp_path: Path) -> None:
    found = {}
    for layers in (2, 1):
        model = {"layers": layers, "width": 32, "context": 55, "mlp": MLP(expansion=2)}
        summary = solve("induction", model, line=induction.LINE, batch=40, steps=1200, run_dir=tmp_path / str(layers))
        found[layers] = summary["answer_accuracy"]
        assert summary["excess"] > 0
    assert found[2] > 0.95
    assert 0.2 < found[1] < 0.6, "it knows the letters of the line, not their order"
