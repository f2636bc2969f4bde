"""Sums modulo p: right, described by their entropy, and learned."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from jaxdec.data.corpora import modular
from jaxdec.data.corpora.registry import load_corpus
from jaxdec.errors import UserError
from tests.data.corpora.solving import solve


@pytest.mark.parametrize("modulus", [2, 10, 23, 36])
def test_every_sum_is_right(modulus: int) -> None:
    for line in modular.generate(modulus, lines=300).splitlines():
        a, b, c = (int(line[place], 36) for place in (0, 2, 4))
        assert line[1] == "+" and line[3] == "="
        assert (a + b) % modulus == c
        assert max(a, b) < modulus


@pytest.mark.parametrize("start", range(7))
def test_answers_stand_after_the_sign(start: int) -> None:
    text = modular.generate(lines=9)[start : start + 40]
    expected = [index + 1 for index, character in enumerate(text[:-1]) if character == "="]
    assert np.flatnonzero(modular.answers(text)).tolist() == expected


def test_the_text_depends_on_modulus_and_seed_alone() -> None:
    assert modular.generate(lines=20) == modular.generate(lines=30)[: 20 * modular.LINE]
    assert len({modular.generate(lines=20, seed=seed) for seed in range(3)}) == 3
    assert len({modular.fingerprint(23), modular.fingerprint(22), modular.fingerprint(23, seed=2)}) == 3
    assert modular.generate(lines=2) == "7+f=m\n7+2=9\n", "the stream of a seed is kept"


def test_the_entropy_is_that_of_two_numbers() -> None:
    corpus = load_corpus("modular:7")
    assert corpus.conditional_entropy is not None
    assert corpus.conditional_entropy(3) == pytest.approx(2 * math.log(7) / 6)
    pairs = np.unique([line[:3] for line in corpus.text.splitlines()], return_counts=True)[1]
    assert len(pairs) == 49 and pairs.min() > 0.9 * pairs.mean()


@pytest.mark.parametrize("name", ["modular:", "modular:1", "modular:37", "modular:x"])
def test_a_wrong_modulus_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' has no modulus: write modular:P with a whole P from 2 to 36"):
        load_corpus(name)


@pytest.mark.long  # 1,000 steps: code that was compiled fast takes long to run them
def test_it_is_learned(tmp_path: Path) -> None:
    model = {"layers": 1, "width": 64, "context": 32}
    summary = solve("modular", model, line=2 * modular.LINE, batch=32, steps=1000, run_dir=tmp_path / "run")
    assert summary["answer_accuracy"] > 0.95, "chance is one in 23"
    assert 0 < summary["excess"] < 0.1
