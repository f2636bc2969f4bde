"""Sampling, parsing and the exact entropy, against grammars small enough to write out every text."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.data.corpora.derivations import (
    ParseError,
    entropy_and_length,
    expected_counts,
    log_probability,
    parse,
    sample,
    samples,
)
from jaxdec.data.corpora.grammar import Draw, Expand, Field, Grammar, Item, Swap, Write, read_grammar

LISTS = """
[list person: name, call]
Ada | hey
Bob | ho ho
Cy | o
Dorothea | la la la
[list day: name]
Mo
Tuesday
Wed
"""
# Finite: draws with and without exclusion, exchanged and moved values, fields of unequal lengths, uneven weights.
FINITE = (
    LISTS
    + """
[rule play]
2 {s:person.name} and {h:person-s.name}. / <talk><talk>
1 {d:day.name}: {s:person.Call}. / <end>
[rule talk]
1 {s.call}, {d:day.name}{d+}, {d.name}! {s~h}
3 {h.name} to {t:person-s-h.name} ({t.call}). {h~t}
[rule end]
1 {d+}{d+}{d.name}
1 x
"""
)
# Endless: a talk goes on with probability 2/3.
ENDLESS = (
    LISTS
    + """
[rule play]
1 {s:person.name}, {h:person-s.name}: <talk>
[rule talk]
1 end.
2 {s.call} {h:person-s-h.name} {d:day.name} {d+}{d.name}; {s~h}<talk>
"""
)


def every_text(grammar: Grammar) -> dict[tuple[int, ...], tuple[str, float]]:
    """{choices: (text, probability)} by following every branch, in code of its own."""
    found = {}

    def follow(items: tuple[Item, ...], text: str, p: float, values: dict[str, int], choices: tuple[int, ...]) -> None:
        if not items:
            found[choices] = (text, p)
            return
        item, rest = items[0], items[1:]
        if isinstance(item, Write):
            follow(rest, text + item.text, p, values, choices)
        elif isinstance(item, Field):
            follow(rest, text + item.texts[values[item.variable]], p, values, choices)
        elif isinstance(item, Expand):
            rule = grammar.rules[item.rule]
            for number, alternative in enumerate(rule.alternatives):
                follow(alternative + rest, text, p * rule.probabilities[number], values, (*choices, number))
        elif isinstance(item, Draw):
            allowed = [e for e in range(len(item.texts)) if all(values[other] != e for other in item.others)]
            for e in allowed:
                follow(rest, text + item.texts[e], p / len(allowed), values | {item.variable: e}, (*choices, e))
        elif isinstance(item, Swap):
            swapped = {item.first: values[item.second], item.second: values[item.first]}
            follow(rest, text, p, values | swapped, choices)
        else:
            moved = {item.variable: (values[item.variable] + 1) % item.size}
            follow(rest, text, p, values | moved, choices)

    follow((Expand("play"),), "", 1.0, {}, ())
    return found


def test_entropy_and_length_against_enumeration():
    grammar = read_grammar(FINITE, "finite")
    texts = every_text(grammar)
    assert len({text for text, _ in texts.values()}) == len(texts)  # unambiguous
    assert len(texts) == 4 * 3 * 5 * 5 + 3 * 4 * 2
    assert math.fsum(p for _, p in texts.values()) == pytest.approx(1, abs=1e-12)
    entropy, length = entropy_and_length(grammar)
    assert entropy == pytest.approx(-math.fsum(p * math.log(p) for _, p in texts.values()), rel=1e-12)
    assert length == pytest.approx(math.fsum(p * len(text) for text, p in texts.values()), rel=1e-12)


def test_parsing_gives_each_text_its_derivation_and_probability():
    grammar = read_grammar(FINITE, "finite")
    for choices, (text, p) in every_text(grammar).items():
        [(log_p, found)] = parse(grammar, text)
        assert found == choices
        assert log_p == pytest.approx(math.log(p), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_what_is_sampled_is_parsed_back(seed):
    grammar = read_grammar(ENDLESS, "endless")
    text, choices = sample(grammar, random.Random(seed))
    [(log_p, found)] = parse(grammar, text)
    assert found == choices
    assert log_probability(grammar, text) == log_p < 0


def test_an_endless_grammar_s_entropy_and_length_against_samples():
    grammar = read_grammar(ENDLESS, "endless")
    texts = list(itertools.islice(samples(grammar, 5), 20_000))
    entropy, length = entropy_and_length(grammar)
    assert sum(map(len, texts)) / len(texts) == pytest.approx(length, rel=0.02)
    assert -sum(log_probability(grammar, text) for text in texts[:2_000]) / 2_000 == pytest.approx(entropy, rel=0.05)
    # By hand: 1 play; each talk is followed by another with probability 2/3.
    assert expected_counts(grammar) == pytest.approx({"play": 1.0, "talk": 3.0})
    per_talk = math.log(3) - 2 / 3 * math.log(2) + 2 / 3 * (math.log(2) + math.log(3))
    assert entropy == pytest.approx(math.log(4) + math.log(3) + 3 * per_talk, rel=1e-12)


@pytest.mark.parametrize("text", ["", "Ada", "Ada and Ada. ", "Mo: Hey.\nx ", "Mo: Hey.\nMo", "mo: Hey.\nx"])
def test_other_texts_have_no_derivation(text):
    with pytest.raises(ParseError, match="0 derivations"):
        log_probability(read_grammar(FINITE, "finite"), text)


def test_an_ambiguous_text_is_found_out():
    grammar = read_grammar("[rule play]\n1 a<b>\n1 ab\n[rule b]\n1 b\n1 c\n", "ambiguous")
    assert sorted(choices for _, choices in parse(grammar, "ab")) == [(0, 0), (1,)]
    with pytest.raises(ParseError, match="2 derivations"):
        log_probability(grammar, "ab")
    assert log_probability(grammar, "ac") == pytest.approx(math.log(0.25))


def test_a_grammar_whose_texts_never_end_is_refused():
    with pytest.raises(ValueError, match="no finite mean length"):
        entropy_and_length(read_grammar("[rule play]\n1 a\n1 <play> <play>\n", "endless"))


def test_excluding_one_value_twice_is_refused():
    # log(4 - 2) would be wrong for the draw of t: s and h are the same person here.
    source = LISTS + "[rule play]\n1 {s:person.name} {h:person.name} {t:person-s-h.name}\n"
    grammar = read_grammar(source, "twice")
    with pytest.raises(ValueError, match="hold the same value"):
        for _ in itertools.islice(samples(grammar, 1), 100):
            pass
