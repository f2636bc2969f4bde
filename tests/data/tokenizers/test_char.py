"""The character tokenizer: round trips on its alphabet, and unseen characters with their place."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.data.tokenizers.registry import CharTokenizer, tokenizer_from_dict
from jaxdec.errors import UserError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(TEXT, st.data())
def test_round_trip(training, data):
    tokenizer = CharTokenizer.train(training)
    text = data.draw(st.text(st.sampled_from(training)))
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert ids.shape == (len(text),)
    assert tokenizer.decode(ids) == tokenizer.decode(ids.tolist()) == text
    assert tokenizer.vocab_size == len(set(training))
    assert set(tokenizer.encode(training)) == set(range(tokenizer.vocab_size))


@given(TEXT, TEXT)
def test_the_hash_is_that_of_the_map(one, other):
    same = set(one) == set(other)
    assert (CharTokenizer.train(one).hash == CharTokenizer.train(other).hash) == same


def test_the_hash_is_that_of_earlier_runs():
    assert CharTokenizer("ab").hash == hashlib.sha256(b"char\nab").hexdigest()


@given(TEXT, st.data())
def test_the_first_unseen_character_is_named(training, data):
    tokenizer = CharTokenizer.train(training)
    seen = st.text(st.sampled_from(training))
    unseen = data.draw(st.characters(exclude_categories=["Cs"], exclude_characters=set(training)))
    before = data.draw(seen)
    line, column = before.count("\n") + 1, len(before.split("\n")[-1]) + 1
    with pytest.raises(UserError) as caught:
        tokenizer.encode(before + unseen + data.draw(seen))
    message = str(caught.value)
    assert message.startswith(
        f"the character {unseen!r} (offset {len(before)}, line {line}, column {column}) is not in"
    )
    assert "\n" not in message


def test_a_map_that_is_not_sorted_is_refused():
    for characters in ("ba", "aa", ""):
        with pytest.raises(UserError, match="the tokenizer in the checkpoint is damaged"):
            tokenizer_from_dict({"kind": "char", "characters": characters, "hash": ""})


def test_training_on_nothing_is_refused():
    with pytest.raises(UserError, match="at least one character"):
        CharTokenizer.train("")
