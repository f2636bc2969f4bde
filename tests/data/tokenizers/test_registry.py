"""All tokenizers: what their interface promises, and maps that are saved, restored, changed and damaged."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.config.parts import Full
from jaxdec.config.tokenizers import BPE, GPT2, AnyTokenizer, Characters, HuggingFace, SentencePiece, Words
from jaxdec.config.yaml import kind_of, variants
from jaxdec.data.tokenizers.registry import (
    END_OF_TEXT,
    FILE,
    KINDS,
    BPETokenizer,
    Tokenizer,
    fixed_tokenizer,
    load_tokenizer,
    tokenizer_from_dict,
    train_tokenizer,
)
from jaxdec.errors import UserError
from tests.data.tokenizers.vocabularies import byte_level_file, has_gpt2, scored_file

TRAINING = "To be, or not to be: that is the question. Whether 'tis nobler -- naïve café!\n" * 3 + END_OF_TEXT
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
Make = Callable[[str], Tokenizer]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The tokenizer of a kind, from TRAINING; without GPT-2's vocabulary on the machine a test of it skips."""
    path = tmp_path_factory.mktemp("file") / "any name.json"
    path.write_text(byte_level_file(TRAINING, 300), encoding="utf-8")
    scored = path.with_name("tokenizer.bin")
    scored.write_bytes(scored_file(TRAINING, 40))
    of_files = (HuggingFace(str(path)), SentencePiece(str(scored)))
    settings = {made.kind: made for made in (Characters(), Words(), GPT2(), BPE(300), *of_files)}

    def of_kind(kind: str) -> Tokenizer:
        if kind == "gpt2" and not has_gpt2():
            pytest.skip("GPT-2's vocabulary is not in $TIKTOKEN_CACHE_DIR")
        return train_tokenizer(settings[kind], TRAINING)

    return of_kind


every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_the_interface(make: Make, kind: str):
    tokenizer = make(kind)
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.kind == kind
    ids = tokenizer.encode(TRAINING)
    assert ids.dtype == np.int32
    assert ids.min() >= 0 and ids.max() < tokenizer.vocab_size
    assert tokenizer.decode(ids) == tokenizer.decode(ids.tolist())
    if kind != "words":
        assert tokenizer.decode(ids) == TRAINING
    empty = tokenizer.encode("")
    assert (empty.dtype, empty.shape, tokenizer.decode([])) == (np.int32, (0,), "")
    for wrong in (-1, tokenizer.vocab_size, 10**12):
        with pytest.raises(UserError, match=f"the token id {wrong} is outside the vocabulary of "):
            tokenizer.decode([0, wrong])


@every_kind
def test_special_tokens_come_of_plain_text_only_where_allowed(make: Make, kind: str):
    tokenizer = make(kind)
    text = f"be{END_OF_TEXT}to {END_OF_TEXT}{END_OF_TEXT} be"
    plain, allowed = tokenizer.encode(text), tokenizer.encode(text, allow_special=True)
    end = tokenizer.end_of_text
    if kind == "char":
        assert end is None
        assert plain.tolist() == allowed.tolist()
        return
    assert end is not None
    assert end not in plain
    assert (allowed == end).sum() == 3
    assert tokenizer.decode([end]) == END_OF_TEXT
    between = [tokenizer.encode(part).tolist() for part in ("be", "to ", "", " be")]
    assert allowed.tolist() == [*between[0], end, *between[1], end, *between[2], end, *between[3]]
    if kind != "words":
        assert tokenizer.decode(plain) == tokenizer.decode(allowed) == text


@pytest.mark.parametrize("kind", ["gpt2", "bpe", "huggingface", "sentencepiece"])
@given(text=UNICODE, ids=st.lists(st.integers(0, 280), max_size=20))
def test_any_text_comes_back_and_any_ids_have_a_text(make: Make, kind: str, text: str, ids: list[int]):
    tokenizer = make(kind)
    for allow_special in (False, True):
        assert tokenizer.decode(tokenizer.encode(text, allow_special)) == text
    tokenizer.decode(ids).encode()  # whatever they are, it is Unicode


@pytest.mark.parametrize("kind", ["gpt2", "bpe", "huggingface"])
def test_a_character_that_is_cut_becomes_a_replacement_character(make: Make, kind: str):
    tokenizer = make(kind)
    ids = tokenizer.encode("be🧿be")
    assert len(ids) >= 5
    assert tokenizer.decode(ids) == "be🧿be"
    assert set(tokenizer.decode(ids[:-2])[2:]) == {"\ufffd"}


@every_kind
def test_half_a_surrogate_pair_is_refused(make: Make, kind: str):
    tokenizer = make(kind)
    for allow_special in (False, True):
        with pytest.raises(UserError, match=r"'\\udcff' ?\(offset 3, line 2, column 1\)") as caught:
            tokenizer.encode("be\n\udcff", allow_special)
        assert "\n" not in str(caught.value)


@every_kind
def test_a_run_keeps_it(make: Make, kind: str, tmp_path: Path):
    tokenizer = make(kind)
    folder = tmp_path / "run" / "tokenizer"
    tokenizer.save(folder)
    tokenizer.save(folder)  # once more is no error
    copies = [load_tokenizer(folder), tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict())))]
    for copy in copies:
        assert (copy.kind, copy.hash, copy.vocab_size) == (kind, tokenizer.hash, tokenizer.vocab_size)
        assert copy.end_of_text == tokenizer.end_of_text
        for allow_special in (False, True):
            assert (copy.encode(TRAINING, allow_special) == tokenizer.encode(TRAINING, allow_special)).all()
        assert copy.to_dict() == tokenizer.to_dict()
    other = train_tokenizer(Characters(), "abc")
    with pytest.raises(UserError, match="holds another tokenizer"):
        other.save(folder)
    assert load_tokenizer(folder).hash == tokenizer.hash
    for path in folder.iterdir():
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        with pytest.raises(UserError, match="holds another tokenizer"):
            tokenizer.save(folder)
        path.write_bytes(content)


@every_kind
def test_a_changed_or_damaged_file_is_refused_in_one_line(make: Make, kind: str, tmp_path: Path):
    folder = tmp_path / "good"
    make(kind).save(folder)
    names = [path.name for path in folder.iterdir()]
    assert FILE in names
    for name in names:
        content = (folder / name).read_bytes()
        tenth = len(content) // 10
        harms = [content[: size * tenth] for size in range(10)]
        harms += [content[: at * tenth] + b"\xff" + content[at * tenth + 1 :] for at in range(10)]
        harms += [content[: at * tenth] + b"7" + content[at * tenth + 1 :] for at in range(10)]
        harms += [b"{}", b"[" * 10**5, b"null", b"3", b"[]", None]
        for number, harm in enumerate(harms):
            broken = tmp_path / f"{name}-{number}"
            shutil.copytree(folder, broken)
            (broken / name).unlink() if harm is None else (broken / name).write_bytes(harm)
            if name == FILE and harm is not None and _same_json(harm, content):
                continue  # white space was hit
            if harm == content:
                continue  # it was a 7
            with pytest.raises(UserError) as caught:
                load_tokenizer(broken)
            assert str(broken) in str(caught.value)
            assert "\n" not in str(caught.value)


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except (ValueError, RecursionError):
        return False


@every_kind
def test_each_value_of_the_map_matters(make: Make, kind: str):
    good = make(kind).to_dict()
    for key in good:
        for wrong in (None, 3, "x", [], {}, [3], {"x": "y"}):
            with pytest.raises(UserError, match=r"^the tokenizer in the checkpoint "):
                tokenizer_from_dict(good | {key: wrong})
        with pytest.raises(UserError):
            tokenizer_from_dict({name: value for name, value in good.items() if name != key})


@pytest.mark.parametrize("values", [{"kind": "chars"}, {"kind": ["char"]}, {}, [], None])
def test_an_unknown_kind_is_named(values: Any):
    with pytest.raises(UserError, match=r"unknown kind 'chars' \(did you mean 'char'\?\)|unknown kind (None|\[)"):
        tokenizer_from_dict(values)


RANKS = BPETokenizer.train("abab", 258).to_dict()


@pytest.mark.parametrize(
    "harm",
    [
        lambda lines: lines[1:],  # a byte is missing, and the first rank is not 0
        lambda lines: [*lines[1:], lines[0]],
        lambda lines: [*lines, lines[-1].replace("256", "257")],  # twice
        lambda lines: [*lines, base64.b64encode(b"abc").decode() + " 258"],
        lambda lines: [*lines, " 257"],
        lambda lines: [*lines, "= 257"],
        lambda lines: [*lines, "é 257"],
        lambda lines: [*lines, base64.b64encode(b"abc").decode() + " 257"],  # well formed, and another map
    ],
    ids=["first missing", "not sorted", "twice", "a gap", "one column", "no base64", "not ASCII", "one more"],
)
def test_ranks_that_are_none(harm: Callable[[list[str]], list[str]]):
    lines = RANKS["ranks"].splitlines()
    assert tokenizer_from_dict(RANKS).vocab_size == len(lines) + 1 == 258
    with pytest.raises(UserError, match=r"is damaged|does not fit its hash"):
        tokenizer_from_dict(RANKS | {"ranks": "\n".join(harm(lines)) + "\n"})


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"the tokenizer .*tokenizer\.json does not exist"):
        load_tokenizer(tmp_path)


def test_which_kinds_need_no_text(tmp_path: Path):
    assert fixed_tokenizer(Characters()) is fixed_tokenizer(Words()) is fixed_tokenizer(BPE(300)) is None
    with pytest.raises(UserError, match=r"the tokenizer file .*none\.json does not exist"):
        fixed_tokenizer(HuggingFace(str(tmp_path / "none.json")))


def test_a_kind_without_a_tokenizer_is_an_error() -> None:
    for call in (lambda: train_tokenizer(Full(), "text"), lambda: fixed_tokenizer(Full())):  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"there is no tokenizer of kind 'full' \(known: bpe, char, "):
            call()


def test_every_kind_of_the_config_has_a_tokenizer() -> None:
    assert [kind_of(settings) for settings in variants(AnyTokenizer)] == list(KINDS)
