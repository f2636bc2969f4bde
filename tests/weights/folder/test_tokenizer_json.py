"""Our tokenizers as tokenizer.json: `tokenizers` gives the same ids, and they are read back as what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Outside

from jaxdec.data.folders import data_folder
from jaxdec.data.tokenizers.bpe import BPETokenizer
from jaxdec.data.tokenizers.char import CharTokenizer
from jaxdec.data.tokenizers.gpt2 import GPT2Tokenizer
from jaxdec.data.tokenizers.huggingface import HuggingFaceTokenizer
from jaxdec.data.tokenizers.sentencepiece import SentencePieceTokenizer
from jaxdec.data.tokenizers.words import WordTokenizer
from jaxdec.errors import UserError
from jaxdec.weights.folder.tokenizer_files import read_tokenizer
from jaxdec.weights.folder.tokenizer_json import merges_of, ours_of, tokenizer_files, tokenizer_json

TEXT = (
    "The cat's hat -- 'tis a hat, isn't it?  A cat\tsat;\nthe \x1c hat \x85 sat. Ünïcode 漢字 \U0001f600 aaa aaaa\n\n"
)
KINDS = {
    "char": CharTokenizer.train(TEXT),
    "words": WordTokenizer.train(TEXT),
    "bpe": BPETokenizer.train(TEXT * 3, 300),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_ids_are_the_same_and_so_is_what_is_read_back(kind: str, tmp_path: Path) -> None:
    ours = KINDS[kind]
    outside = Outside.from_str(tokenizer_json(ours))
    assert outside.get_vocab_size() == ours.vocab_size
    for text in (TEXT, TEXT[::-1], "The hat", ""):
        ids = ours.encode(text)
        assert outside.encode(text, add_special_tokens=False).ids == ids.tolist()
        if kind != "words":  # whose spaces are guessed
            assert outside.decode(ids.tolist()) == ours.decode(ids)
    for name, content in tokenizer_files(ours, 64).items():
        (tmp_path / name).write_text(content)
    again = read_tokenizer(tmp_path)
    assert type(again) is type(ours) and again.hash == ours.hash


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("aabc '\n \x1c\x85é.,-?\U0001f600"), max_size=40))
def test_any_text_has_the_same_ids(text: str) -> None:
    for ours in (KINDS["bpe"], WordTokenizer(["a", "b", "c"])):
        outside = Outside.from_str(tokenizer_json(ours))
        assert outside.encode(text, add_special_tokens=False).ids == ours.encode(text).tolist()


def sentencepiece() -> SentencePieceTokenizer:
    merged = [" t", "he", " the", "in", " a", "aa", "aaa", "ab", "aba", "bab", "  "]
    pieces = [(text, 0.0) for text in ("<unk>", "<s>", "</s>")] + [(f"<0x{byte:02X}>", 0.0) for byte in range(256)]
    pieces += [(text, -float(rank)) for rank, text in enumerate(merged)]
    return SentencePieceTokenizer(pieces + [(letter, -100.0) for letter in " abcdefghint"])


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("aab  thiné\n\U0001f600"), max_size=24))
def test_sentencepiece_has_the_same_ids_and_texts(text: str) -> None:
    ours = sentencepiece()
    outside = Outside.from_str(tokenizer_json(ours))
    ids = ours.encode(text).tolist()
    assert outside.encode(text, add_special_tokens=False).ids == ids and outside.decode(ids) == text


def test_sentencepiece_as_a_folder(tmp_path: Path) -> None:
    for name, content in tokenizer_files(sentencepiece(), 8).items():
        (tmp_path / name).write_text(content)
    again = read_tokenizer(tmp_path, ends=(1,))
    assert isinstance(again, HuggingFaceTokenizer) and again.end_of_text == 1
    assert again.encode("the aba").tolist() == sentencepiece().encode("the aba").tolist()
    with pytest.raises(UserError, match="the same piece twice"):
        tokenizer_json(SentencePieceTokenizer([*sentencepiece().pieces, ("aa", -3.0)]))


def test_special_tokens_are_named() -> None:
    config = json.loads(tokenizer_files(KINDS["words"], 8)["tokenizer_config.json"])
    assert (config["eos_token"], config["unk_token"], config["model_max_length"]) == ("<|endoftext|>", "<|unk|>", 8)
    assert "eos_token" not in json.loads(tokenizer_files(KINDS["char"], 8)["tokenizer_config.json"])


def test_a_file_that_is_not_quite_ours_stays_what_it_is(tmp_path: Path) -> None:
    values = json.loads(tokenizer_json(KINDS["bpe"]))
    values["model"]["merges"] = values["model"]["merges"][::-1]
    assert ours_of(json.dumps(values)) is None
    values = json.loads(tokenizer_json(KINDS["bpe"]))
    values["normalizer"] = {"type": "Lowercase"}
    assert ours_of(json.dumps(values)) is None
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    again = read_tokenizer(tmp_path)
    assert isinstance(again, HuggingFaceTokenizer) and again.decode(again.encode("THE")) == "the"


def test_the_token_that_ends_a_text_is_that_of_the_config() -> None:
    values = json.loads(tokenizer_json(KINDS["bpe"]).replace("<|endoftext|>", "</s>"))
    ends = HuggingFaceTokenizer(json.dumps(values), end_of_text="</s>")
    assert ends.end_of_text == KINDS["bpe"].end_of_text
    assert HuggingFaceTokenizer.from_dict(ends.to_dict()).hash == ends.hash != HuggingFaceTokenizer(ends.content).hash
    with pytest.raises(ValueError, match="no token <end>"):
        HuggingFaceTokenizer(ends.content, end_of_text="<end>")


def test_merges_are_those_that_made_the_tokens() -> None:
    assert merges_of([b"a", b"b", b"c", b"bc", b"abc"]) == [(b"b", b"c"), (b"a", b"bc")]
    with pytest.raises(ValueError, match="not two others"):
        merges_of([b"a", b"b", b"c", b"abc"])


@pytest.mark.long
def test_gpt2s_ids_of_tiny_shakespeare() -> None:
    place = data_folder() / "tinyshakespeare" / "input.txt"
    if not place.is_file():
        pytest.skip(f"{place} is not there")
    text, ours = place.read_text(encoding="utf-8"), GPT2Tokenizer()
    content = tokenizer_json(ours)
    ids = ours.encode(text).tolist()
    assert len(ids) == 338_025 and Outside.from_str(content).encode(text, add_special_tokens=False).ids == ids
    again = ours_of(content)
    assert again is not None and again.encode(text).tolist() == ids


def test_half_of_a_surrogate_pair_has_no_form() -> None:
    with pytest.raises(UserError, match="surrogate"):
        tokenizer_json(CharTokenizer("a\ud800"))


def test_gpt2s_two_files(tmp_path: Path) -> None:
    values = json.loads(tokenizer_json(KINDS["bpe"]))["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(values["vocab"]))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in values["merges"]))
    assert read_tokenizer(tmp_path).hash == KINDS["bpe"].hash  # type: ignore[union-attr]
    (tmp_path / "merges.txt").write_text("one two three\n")
    with pytest.raises(UserError, match=r"vocab\.json and merges\.txt are damaged"):
        read_tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    assert read_tokenizer(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(UserError, match=r"tokenizer\.json cannot be read"):
        read_tokenizer(tmp_path)
