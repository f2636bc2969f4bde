"""The plays: unambiguous, reproducible, and exactly as uncertain as the entropy rate says."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.data import playlets
from jaxdec.data.derivations import ParseError, parse, sample
from jaxdec.data.embedded import embedded_text
from jaxdec.data.files import sha256


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_each_play_has_one_derivation_and_it_is_the_one_drawn(seed):
    play, choices = sample(playlets.grammar(), random.Random(seed))
    [(log_p, found)] = parse(playlets.grammar(), play)
    assert found == choices
    assert log_p < 0
    assert play.endswith(playlets.END)
    assert playlets.END not in play[:-2]  # so a text of many plays falls apart into plays in one way only


def test_the_entropy_rate_is_that_of_the_text():
    text = playlets.generate(400_000, seed=11)
    assert -playlets.log_probability(text) / len(text) == pytest.approx(playlets.entropy_rate(), rel=0.01)


def test_the_corpus_is_kept():
    text = playlets.generate()
    assert len(text) >= playlets.CHARACTERS >= 1_000_000
    assert text.endswith(playlets.END)
    assert sha256(text.encode()) == CORPUS_SHA256


def test_the_embedded_sample_is_the_corpus_s_beginning():
    sample_text = embedded_text("playlets-sample.txt")
    assert sample_text == playlets.sample_text(SAMPLE_PLAYS)
    assert playlets.generate().startswith(sample_text)


def test_generate_is_a_function_of_size_and_seed():
    text = playlets.generate(20_000, seed=3)
    assert text == playlets.generate(20_000, seed=3)
    assert text != playlets.generate(20_000, seed=4)
    assert playlets.generate(30_000, seed=3).startswith(text)
    assert len({playlets.fingerprint(), playlets.fingerprint(9), playlets.fingerprint(seed=9)}) == 3


def test_a_changed_play_is_no_play():
    play = playlets.sample_text(1)
    assert playlets.log_probability(play) < 0
    for changed in (play + "x", play[1:], play.replace("Enter", "Exit"), play[:-1], play + play[:-2]):
        with pytest.raises(ParseError):
            playlets.log_probability(changed)


def test_speakers_take_turns_as_they_are_addressed():
    # What the plays are made for: who speaks next stands in the line before.
    line = re.compile(r"^(\w+)(?:: | \w+ at ).*", re.MULTILINE)
    for play in playlets.sample_text(50).split(playlets.END):
        lines = [match for match in line.finditer(play) if not match[0].startswith(("Enter", "They"))]
        for before, after in zip(lines, lines[1:], strict=False):
            assert re.search(rf"\b{after[1]}\b", before[0].partition(" ")[2]), (before[0], after[0])
