"""Measures of texts: worked examples, and what holds of any text."""

from __future__ import annotations

import doctest
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.data.tokenizers.registry import BPETokenizer
from jaxdec.evaluation.quality import context, repetition, segments, stability, structure
from jaxdec.training import health

TEXT = st.text(st.sampled_from("ab .!\n\"()[]'“”"), max_size=60)
SYMBOLS = st.lists(st.sampled_from("abc"), max_size=20)


@pytest.mark.parametrize("module", [context, health, repetition, segments, structure], ids=lambda it: it.__name__)
def test_the_examples_of_the_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


@given(SYMBOLS, st.integers(1, 4))
def test_repeated_share(text: list[str], n: int):
    share = repetition.repeated_share(text, n)
    if len(text) < n:
        assert share is None
        return
    assert share is not None and 0 <= share < 1
    twice = repetition.repeated_share(text + text, n)
    assert twice is not None and twice >= share  # repeating never makes it smaller
    assert repetition.repeated_share([str(place) for place in range(len(text))], n) == 0


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=5), st.integers(3, 5), SYMBOLS)
def test_a_text_that_ends_in_a_phrase_three_times_loops(phrase: list[str], times: int, before: list[str]):
    assert repetition.ends_in_loop(before + phrase * times)


def test_what_is_no_loop():
    for text in ("a b a b", "a b a b a b c", "x", "", "a b c a b c a b", "a a a a a"):
        assert not repetition.ends_in_loop(text.split())
    assert repetition.ends_in_loop(["no", "no", "no", "no", "no", "no"])  # "no no", three times


def test_distinct_by_hand():
    """ab bc ab bd | ab cd: 4 different of 6; without the first text 2 of 2, without the second 3 of 4."""
    found = repetition.distinct([["ab", "bc", "ab", "bd"], ["ab", "cd"]], 1)
    assert found is not None
    assert found.value == pytest.approx(4 / 6) and found.error == pytest.approx(1 / 8)


@given(st.lists(SYMBOLS, max_size=5), st.integers(1, 3))
def test_distinct_counts_different_over_all(texts: list[list[str]], n: int):
    grams = [gram for text in texts for gram in repetition.ngrams(text, n)]
    found = repetition.distinct(texts, n)
    assert (found is None) == (not grams)
    if found is not None:
        assert found.value == pytest.approx(len(set(grams)) / len(grams))


@given(TEXT)
def test_segments_are_of_the_text(text: str):
    visible = "".join(text.split())
    assert "".join(segments.symbols(text)) == visible
    assert sum(map(len, segments.words(text))) <= len(visible)
    assert all(segments.words(sentence) for sentence in segments.sentences(text))
    assert sum(len(segments.words(part)) for part in segments.sentences(text)) == len(segments.words(text))


def test_known_words_leave_the_ends_out():
    assert stability.known_words("zz The cat zat on the ma", frozenset({"the", "cat", "on"})) == (4, 5)
    assert stability.known_words("one", frozenset({"one"})) == (0, 0)


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(["the cat sat on the mat and the cat sat there again " * 8], 290)


def test_a_word_of_pieces_is_broken_where_the_corpus_lacks_it(tokenizer: BPETokenizer):
    known = frozenset({"the", "cat", "mat", "xylem"})
    assert len(tokenizer.encode(" the")) == 1 and len(tokenizer.encode(" xylem")) > 1
    assert stability.broken_words("the cat xylem zebra the", known, tokenizer) == (1, 2)  # of xylem and zebra


def test_tokens_that_are_not_the_tokenizers_own_cut(tokenizer: BPETokenizer):
    own = tokenizer.encode("the cat sat").tolist()
    assert stability.recut_tokens(own, tokenizer) == (0, len(own))
    letters = [int(tokenizer.encode(letter)[0]) for letter in " cat"]
    assert len(tokenizer.encode(" cat")) == 1
    other = [*tokenizer.encode("the").tolist(), *letters, *tokenizer.encode(" sat").tolist()]
    assert stability.recut_tokens(other, tokenizer) == (4, len(other))


@given(st.lists(st.integers(0, 255), max_size=12))
def test_broken_bytes_never_fail(tokenizer: BPETokenizer, ids: list[int]):
    wrong, tokens = stability.recut_tokens(ids, tokenizer)
    assert 0 <= wrong <= tokens == len(ids)


def test_broken_characters_inside_of_a_text():
    assert stability.broken_characters("�a�b��") == (1, 3)


@given(TEXT)
def test_brackets_match_or_do_not(text: str):
    matched, counted = structure.matched_brackets(text)
    assert 0 <= matched <= counted <= sum(map(text.count, "()[]“”")) and matched % 2 == 0
    inside = structure.matched_brackets(f"({''.join(letter for letter in text if letter not in '()[]“”')})")
    assert inside == (2, 2)


def test_quotes_by_hand():
    text = 'cut" off\n\n"Yes," he said.\n\nShe said "no.\n\nNone.\n\nAnd "so'
    assert structure.closed_quotes(text) == (1, 2)


def test_sentence_lengths_and_their_distance():
    text = "end of it. One two three! Four five? And then\n\nSix seven eight nine. cut of"
    assert structure.sentence_lengths(text) == [3, 2, 2, 4]
    found = structure.length_distance([[3, 3], [5]], [4, 4, 4])
    assert found is not None and found.value == pytest.approx(1.0) and found.error == pytest.approx(0.0)
    assert structure.length_distance([[]], [4]) is None and structure.length_distance([[4]], []) is None


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 9))
def test_the_distance_of_longer_sentences_is_by_how_much(lengths: list[int], more: int):
    found = structure.length_distance([lengths], [length + more for length in lengths])
    assert found is not None and found.value == pytest.approx(more)


def test_context_lengths_end_with_the_longest():
    for longest in range(1, 40):
        lengths = context.context_lengths(longest)
        assert lengths[-1] == longest and lengths == sorted(set(lengths))
        assert all(later <= 2 * length for length, later in pairwise(lengths))
