"""Hugging Face files: ids equal to `tokenizers`' own, without what a corpus must not have done to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from jaxdec.data.tokenizers.registry import END_OF_TEXT, HuggingFaceTokenizer, load_tokenizer, tokenizer_from_dict
from jaxdec.errors import UserError
from tests.data.tokenizers.vocabularies import byte_level, byte_level_file

STORY = f"It was the best of times, it was the worst of times. a<|b|>{END_OF_TEXT}\n" * 4
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.text("itwas <|endoftext|>", max_size=40)


@pytest.fixture(scope="module")
def theirs() -> Tokenizer:
    return byte_level(STORY, 299, (END_OF_TEXT, "<|user|>"))


def words(*special: str) -> Tokenizer:
    """One token a word; the special tokens are words of the model's own vocabulary too."""
    vocabulary = {word: number for number, word in enumerate([*special, "<unk>", "tea", "a", "s", "<"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([*special, "<unk>"])
    return tokenizer


@given(text=TEXT)
@example(STORY)
def test_ids_are_those_of_tokenizers(theirs: Tokenizer, text: str):
    ours, bare = HuggingFaceTokenizer(theirs.to_str()), byte_level(STORY, 299)
    allowed = theirs.encode(text, add_special_tokens=False).ids
    assert ours.encode(text, allow_special=True).tolist() == allowed
    plain = ours.encode(text)
    assert plain.tolist() == bare.encode(text).ids  # as if there were no special tokens
    assert ours.decode(plain) == ours.decode(allowed) == text
    if plain.tolist() != allowed:
        assert END_OF_TEXT in text


def test_what_it_knows(theirs: Tokenizer):
    ours = HuggingFaceTokenizer(theirs.to_str())
    assert ours.vocab_size == theirs.get_vocab_size()
    assert ours.end_of_text == theirs.token_to_id(END_OF_TEXT) == ours.vocab_size - 2
    assert ours.decode(ours.encode("<|user|>it", allow_special=True)) == "<|user|>it"
    assert HuggingFaceTokenizer(words("[CLS]").to_str()).end_of_text is None


def test_a_corpus_is_neither_cut_nor_padded_nor_wrapped(theirs: Tokenizer):
    text = STORY.replace(END_OF_TEXT, "")
    changed = Tokenizer.from_str(theirs.to_str())
    changed.enable_truncation(5)
    changed.enable_padding(length=1000)
    changed.post_processor = processors.TemplateProcessing(single="<|user|> $A", special_tokens=[("<|user|>", 300)])
    assert len(changed.encode(text).ids) == 1000
    ours = HuggingFaceTokenizer(changed.to_str())
    assert ours.encode(text).tolist() == theirs.encode(text).ids
    assert ours.hash != HuggingFaceTokenizer(theirs.to_str()).hash  # the file is kept as it is


def test_special_words_of_the_model_s_own_vocabulary_are_cut():
    ours = HuggingFaceTokenizer(words("<s>", END_OF_TEXT).to_str())
    names = {name: ours.tokenizer.token_to_id(name) for name in ("<unk>", "tea", "a", "<s>", "<", END_OF_TEXT)}
    assert ours.encode("tea coffee a").tolist() == [names["tea"], names["<unk>"], names["a"]]
    plain = ours.encode(f"tea <s> {END_OF_TEXT} a")
    unknown, less = names["<unk>"], names["<"]
    assert plain.tolist() == [names["tea"], less, unknown, less, unknown, names["a"]]
    allowed = ours.encode(f"tea <s> {END_OF_TEXT} a", allow_special=True)
    assert allowed.tolist() == [names["tea"], names["<s>"], names[END_OF_TEXT], names["a"]]


def test_special_tokens_by_way_of_the_normalizer_are_refused():
    tokenizer = words("<s>")
    tokenizer.normalizer = normalizers.NFKC()
    with pytest.raises(UserError, match="makes its special token <s> of plain text"):
        HuggingFaceTokenizer(tokenizer.to_str()).encode("tea \uff1cs>")


def test_unigram_s_unknown_token_is_known_by_its_id():
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("tea", -1.0)], unk_id=0))
    tokenizer.add_special_tokens(["<unk>"])
    assert HuggingFaceTokenizer(tokenizer.to_str()).encode("teax").tolist() == [1, 0]


def test_added_tokens_that_are_not_special_are_text(theirs: Tokenizer):
    added = Tokenizer.from_str(theirs.to_str())
    added.add_tokens([AddedToken("times", special=False)])
    assert added.token_to_id("times") in HuggingFaceTokenizer(added.to_str()).encode(STORY)


def test_what_a_model_cannot_encode_is_said():
    with pytest.raises(UserError, match="the tokenizer file cannot encode the text"):
        HuggingFaceTokenizer(Tokenizer(models.WordLevel({"tea": 0}, unk_token="?")).to_str()).encode("coffee")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xff", "is not UTF-8"),
        (b"soup", "cannot be read by Hugging Face's tokenizers"),
        (b"{}", "cannot be read by Hugging Face's tokenizers"),
        (Tokenizer(models.BPE()).to_str().encode(), "it has no tokens"),
        (None, "is a folder"),
    ],
    ids=["empty", "not UTF-8", "not JSON", "another JSON", "no tokens", "folder"],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "tokenizer.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        HuggingFaceTokenizer.from_file(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_needs_its_file_no_more(tmp_path: Path):
    path = tmp_path / "given.json"
    path.write_text(byte_level_file(STORY, 300), encoding="utf-8")
    ours = HuggingFaceTokenizer.from_file(str(path))
    ours.save(tmp_path / "tokenizer")
    content = path.read_bytes()
    path.unlink()
    assert (tmp_path / "tokenizer" / "huggingface.json").read_bytes() == content  # usable by others as it stands
    assert load_tokenizer(tmp_path / "tokenizer").encode(STORY).tolist() == ours.encode(STORY).tolist()


@pytest.mark.parametrize("value", [None, -1, 2**40, "x", [], {}])
@pytest.mark.parametrize("place", ["model", "vocab", "merges", "added_tokens", "id", "pre_tokenizer", "decoder"])
def test_a_file_with_a_wrong_value_never_gives_a_traceback(value: object, place: str):
    values = json.loads(byte_level_file(STORY, 280))
    within = {"vocab": values["model"], "merges": values["model"], "id": values["added_tokens"][0]}.get(place, values)
    within[place] = value
    content = {"kind": "huggingface", "content": json.dumps(values), "hash": "x"}
    with pytest.raises(UserError, match=r"is damaged|does not fit its hash"):
        tokenizer_from_dict(content)
