"""The plays: unambiguous, reproducible, and exactly as uncertain as the entropy rate says."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.data.corpora import playlets
from jaxdec.data.corpora.derivations import ParseError, parse, sample
from jaxdec.data.corpora.embedded import embedded_text
from jaxdec.data.files import sha256

SAMPLE_PLAYS = 6
CORPUS_SHA256 = "03b684addcee569b0e4e2ff3bdd3d9a09b92983618246328663fc18bbee032e3"


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


def test_who_speaks_next_stands_in_the_line_before():
    spoken = re.compile(r"(\w+): (\w+), (?:go! come, (\w+)!)?")
    for play in playlets.sample_text(100).split(playlets.END)[:-1]:
        _, entrance, *lines = play.split("\n")
        due, partner = re.findall(r"\b[A-Z]\w+", entrance.removeprefix("Enter"))
        for line in lines[:-1]:
            assert line.split()[0].rstrip(":") == due, line
            if speech := spoken.match(line):
                speaker, addressed, newcomer = speech.groups()
                assert addressed == partner
                due, partner = newcomer or addressed, speaker
            else:  # a gesture: the other one remarks on it
                due, partner = partner, due
        assert lines[-1].startswith("They ")
