"""The character tokenizer: round trips, unseen characters with their place, and a map that its hash protects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.data.tokenizers import FILE, CharTokenizer, Tokenizer, load_tokenizer, tokenizer_from_dict
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


@given(TEXT)
def test_saved_and_loaded_it_is_the_same(training):
    tokenizer = CharTokenizer.train(training)
    copy = tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert isinstance(copy, Tokenizer)
    assert copy.hash == tokenizer.hash
    assert (copy.encode(training) == tokenizer.encode(training)).all()


@given(TEXT, TEXT)
def test_the_hash_is_that_of_the_map(one, other):
    same = set(one) == set(other)
    assert (CharTokenizer.train(one).hash == CharTokenizer.train(other).hash) == same


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


def test_an_empty_text_is_no_tokens():
    assert CharTokenizer.train("ab").encode("").tolist() == []
    assert CharTokenizer.train("ab").decode([]) == ""


def test_a_lone_surrogate_is_an_unseen_character():
    with pytest.raises(UserError, match=r"the character '\\udcff' \(offset 1, "):
        CharTokenizer.train("ab").encode("a\udcff")


@pytest.mark.parametrize("wrong", [-1, 2, 10**12])
def test_an_id_outside_the_vocabulary_is_refused(wrong):
    with pytest.raises(UserError, match=f"the token id {wrong} is outside the vocabulary of 2"):
        CharTokenizer.train("ab").decode([0, wrong])


def test_training_on_nothing_is_refused():
    with pytest.raises(UserError, match="at least one character"):
        CharTokenizer.train("")


def test_a_folder_keeps_it(tmp_path: Path):
    tokenizer = CharTokenizer.train("To be, or not to be\né")
    folder = tmp_path / "run" / "tokenizer"
    tokenizer.save(folder)
    assert [path.name for path in folder.iterdir()] == [FILE]
    assert load_tokenizer(folder).hash == tokenizer.hash
    tokenizer.save(folder)  # once more is no error
    with pytest.raises(UserError, match="holds another tokenizer"):
        CharTokenizer.train("abc").save(folder)
    assert load_tokenizer(folder).hash == tokenizer.hash


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "char", "characters": "abd", "hash": CharTokenizer("abc").hash}, "does not fit its hash"),
        ({"kind": "char", "characters": "abc"}, "does not fit its hash"),
        ({"kind": "char", "hash": ""}, "its map is missing"),
        ({"kind": "char", "characters": 3, "hash": ""}, "its map is missing"),
        ({"kind": "char", "characters": "ba", "hash": ""}, "different and sorted"),
        ({"kind": "chars", "characters": "ab"}, r"unknown kind 'chars' \(did you mean 'char'\?\)"),
        ({"kind": ["char"]}, "unknown kind"),
        ([], "unknown kind"),
    ],
)
def test_a_changed_map_is_refused(tmp_path: Path, values, message):
    (tmp_path / FILE).write_text(json.dumps(values))
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe"])
def test_a_damaged_file_is_named(tmp_path: Path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"the tokenizer .*tokenizer\.json is damaged"):
        load_tokenizer(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"the tokenizer .*tokenizer\.json does not exist"):
        load_tokenizer(tmp_path)
