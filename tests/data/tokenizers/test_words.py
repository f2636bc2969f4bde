"""Words: against the numbers of the book they follow, and what is lost and what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.data.corpora.registry import load_corpus
from jaxdec.data.tokenizers.registry import END_OF_TEXT, WordTokenizer
from jaxdec.data.tokenizers.words import UNKNOWN, split
from jaxdec.errors import UserError

TEA = "Hello, do you like tea?"


@pytest.fixture(scope="module")
def story() -> str:
    folder = os.environ.get("JAXDEC_DATA_DIR")
    if folder is None or not (Path(folder) / "the_verdict" / "the-verdict.txt").exists():
        pytest.skip("the_verdict/the-verdict.txt is not in $JAXDEC_DATA_DIR")
    return load_corpus("the_verdict").text


def test_the_numbers_of_the_book(story: str):
    """Chapter 2 of Raschka, Build a Large Language Model (From Scratch), prints these for the whole story."""
    assert len(story) == 20_479
    assert len(split(story)) == 4_690
    tokenizer = WordTokenizer.train(story)
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (1_132, 1_130)
    ids = tokenizer.encode('"It\'s the last he painted, you know," Mrs. Gisburn said with pardonable pride.').tolist()
    assert ids == [1, 56, 2, 850, 988, 602, 533, 746, 5, 1126, 596, 5, 1, 67, 7, 38, 851, 1108, 754, 793, 7]
    text = f"{TEA} {END_OF_TEXT} In the sunlit terraces of the palace."
    ids = tokenizer.encode(text, allow_special=True).tolist()
    assert ids == [1131, 5, 355, 1126, 628, 975, 10, 1130, 55, 988, 956, 984, 722, 988, 1131, 7]


def test_spaces_stand_where_a_reader_expects_them(story: str):
    tokenizer = WordTokenizer.train(story)
    first = "I HAD always thought Jack Gisburn rather a cheap genius--though a good fellow enough--so it was no great"
    quoted = 'over Florence. "The height of his glory"--that was what the women called it. (Though I rather thought.)'
    for text in (first, quoted, '"It\'s the last he painted, you know," Mrs. Gisburn said.'):
        assert tokenizer.decode(tokenizer.encode(text)) == text


WORDS = st.lists(st.sampled_from(["tea", "a", '"', "(", ")", "--", ",", ".", "'", "other", END_OF_TEXT, UNKNOWN]))


@given(WORDS, st.integers(0, 10))
def test_more_tokens_never_change_the_text_before_them(words: list[str], cut: int):
    tokenizer = WordTokenizer.train("tea a \"(--),.'")
    ids = tokenizer.encode(" ".join(words), allow_special=True)
    assert tokenizer.decode(ids).startswith(tokenizer.decode(ids[:cut]))


@given(WORDS)
def test_what_is_decoded_has_the_same_words(words: list[str]):
    tokenizer = WordTokenizer.train("tea a other \"(--),.'")
    words = [word for word in words if word not in (END_OF_TEXT, UNKNOWN)]
    assert split(tokenizer.decode(tokenizer.encode(" ".join(words)))) == words


def test_a_word_that_looks_special_is_unknown():
    tokenizer = WordTokenizer.train(f"{TEA} {END_OF_TEXT} {UNKNOWN} {END_OF_TEXT}")
    assert tokenizer.vocab_size == len(split(TEA)) + 2
    unknown = tokenizer.vocab_size - 1
    assert tokenizer.encode(f"{END_OF_TEXT} {UNKNOWN} coffee").tolist() == [unknown] * 3
    assert tokenizer.encode(f"{END_OF_TEXT} tea", allow_special=True)[0] == tokenizer.end_of_text == unknown - 1


def test_training_on_half_a_surrogate_pair_is_refused():
    with pytest.raises(UserError, match="half of a surrogate"):
        WordTokenizer.train("tea \udcff")
