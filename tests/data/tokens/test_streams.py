"""A stream of pieces has the ids of the whole text, for every tokenizer and wherever the pieces end."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from jaxdec.config.tokenizers import BPE, Characters, Words
from jaxdec.data.corpora.base import Corpus
from jaxdec.data.corpora.registry import load_corpus
from jaxdec.data.folders import data_folder
from jaxdec.data.tokenizers.pieces import BYTE_SEAMS, last_seam
from jaxdec.data.tokenizers.registry import (
    BPETokenizer,
    CharTokenizer,
    GPT2Tokenizer,
    HuggingFaceTokenizer,
    Tokenizer,
    WordTokenizer,
    train_tokenizer,
)
from jaxdec.data.tokens import split
from jaxdec.data.tokens.encode import Encoder, encode_stream
from jaxdec.data.tokens.split import Reading, Splitter
from tests.data.tokenizers.test_bytes import STORY, needs_gpt2
from tests.data.tokenizers.vocabularies import byte_level, eager
from tests.data.tokens.corpora import of_documents, of_one

# Text in which every seam there is comes close to every other, with letters of all classes of GPT-2's pattern.
LETTERS = " \n\t\x1c\x85\u3000a1'.,(é漢字、。-"
CLOSE = st.text(LETTERS, max_size=60)
EAGER = eager(LETTERS)
WORDS = st.lists(st.sampled_from(STORY.split(" ")), min_size=150, max_size=260).map(" ".join)
SIZES = st.integers(1, 40)


def ids_of(corpus: Corpus, tokenizer: Tokenizer) -> list[int]:
    """The ids of a corpus of one document, encoded as its stream is cut."""
    found = [
        tokenizer.encode(stretch.text)
        for stretches, _ in Splitter(corpus, 0.1).stretches(tokenizer.last_cut, Reading())
        for stretch in stretches
    ]
    return np.concatenate(found).tolist() if found else []


def sentencepiece(normalizer: bool) -> HuggingFaceTokenizer:
    """As Llama's files have it (a space is put before the text by the normalizer) or T5's (by the pre-tokenizer)."""
    library = Library(models.BPE(unk_token="<unk>") if normalizer else models.Unigram())
    learner = Library(models.BPE(unk_token="<unk>") if normalizer else models.Unigram())
    if normalizer:
        parts = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        library.normalizer = normalizers.Sequence(parts)  # pyright: ignore[reportAttributeAccessIssue]
        learner.pre_tokenizer = pre_tokenizers.Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False)
        learner.train_from_iterator([STORY], trainer)
        library.model = learner.model
    else:
        library.pre_tokenizer = pre_tokenizers.Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
        )
        library.train_from_iterator([STORY], trainer)
    library.decoder = decoders.Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
    return HuggingFaceTokenizer(library.to_str())


def wordpiece() -> HuggingFaceTokenizer:
    """As BERT's file has it: lower case, accents off, white space dropped."""
    library = Library(models.WordPiece(unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer()  # pyright: ignore[reportAttributeAccessIssue]
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False)
    library.train_from_iterator([STORY], trainer)
    return HuggingFaceTokenizer(library.to_str())


@functools.cache
def tokenizer_of(kind: str) -> Tokenizer:
    match kind:
        case "words":
            return WordTokenizer.train(STORY)
        case "bpe":
            return BPETokenizer.train(STORY + " " * 50, 400)
        case "gpt2":
            return GPT2Tokenizer()
        case "byte level":
            return HuggingFaceTokenizer(byte_level(STORY, 400).to_str())
        case "as Llama":
            return sentencepiece(normalizer=True)
        case "as T5":
            return sentencepiece(normalizer=False)
        case "as BERT":
            return wordpiece()
        case _:
            raise ValueError(kind)


@settings(max_examples=300)
@given(text=CLOSE, size=SIZES)
@example("a.\x1c.", 1)
@example("foo#bar-baz--x 漢字、漢字。", 3)
@example("a" * 9 + "'s" + "." * 9 + "1" * 9, 2)
def test_any_pieces_have_the_ids_of_the_whole(text: str, size: int):
    corpus = of_documents([text], size)
    assert ids_of(corpus, CharTokenizer.train(text or "a")) == CharTokenizer.train(text or "a").encode(text).tolist()
    for kind in ("words", "bpe"):
        assert ids_of(corpus, tokenizer_of(kind)) == tokenizer_of(kind).encode(text).tolist()


@settings(max_examples=300)
@given(text=CLOSE)
@example("字、字。字a1a.a,1.'s")
def test_every_seam_lies_between_two_tokens(text: str):
    """Of a vocabulary in which any two letters that the pattern leaves together are one token."""
    for end in range(len(text)):
        place = last_seam(text[:end], BYTE_SEAMS)
        if place is not None:
            halves = [EAGER.encode_ordinary(part) for part in (text[:place], text[place:])]
            assert [*halves[0], *halves[1]] == EAGER.encode_ordinary(text)


@pytest.mark.parametrize("kind", ["byte level", "as Llama", "as T5", "as BERT"])
@settings(max_examples=8, deadline=None)
@given(text=WORDS, size=st.integers(50, 500))
def test_a_hugging_face_file_s_cuts_are_found_by_trying(kind: str, text: str, size: int):
    tokenizer, corpus = tokenizer_of(kind), of_documents([text], size)
    stretches = [
        stretch for found, _ in Splitter(corpus, 0.1).stretches(tokenizer.last_cut, Reading()) for stretch in found
    ]
    assert len(stretches) > 1
    assert ids_of(corpus, tokenizer) == tokenizer.encode(text).tolist()


@needs_gpt2
@pytest.mark.parametrize("size", [100, 4099, 2**20])
def test_tiny_shakespeare_has_tiktoken_s_ids(size: int):
    if not (data_folder() / "tinyshakespeare" / "input.txt").exists():
        pytest.skip("tinyshakespeare/input.txt is not in $JAXDEC_DATA_DIR")
    tokenizer, text = GPT2Tokenizer(), load_corpus("tinyshakespeare").text
    ids = ids_of(of_documents([text], size), tokenizer)
    assert len(ids) == 338_025
    assert ids == tokenizer.encoding.encode_ordinary(text)


def test_a_stretch_without_a_place_to_cut_is_cut_where_it_is_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(split, "LONGEST", 100)
    found = [
        len(stretch.text)
        for stretches, _ in Splitter(of_documents(["a" * 250], 30), 0.1).stretches(
            tokenizer_of("bpe").last_cut, Reading()
        )
        for stretch in stretches
    ]
    assert found == [120, 120, 10]


@pytest.mark.parametrize("settings", [Characters(), Words(), BPE(300)])
def test_a_tokenizer_trained_on_a_stream_is_that_of_the_text(settings: Characters | Words | BPE):
    cut = WordTokenizer([]).last_cut
    texts = (
        stretch.text
        for found, _ in Splitter(of_documents([STORY], 31), 0.1).stretches(cut, Reading())
        for stretch in found
    )
    assert train_tokenizer(settings, texts).hash == train_tokenizer(settings, STORY).hash


def test_what_comes_of_threads_is_in_order():
    text = STORY * 40
    tokenizer = tokenizer_of("bpe")
    encoder = Encoder(tokenizer, None, np.dtype("<u2"))
    stretches = Splitter(of_one(text, 97), 0.25).stretches(tokenizer.last_cut, Reading())
    encoded = list(encode_stream(encoder, stretches, batch_size=50))
    cut = int(len(text) * 0.75)
    assert len(encoded) > 100
    assert np.concatenate([each.ids["train"] for each in encoded]).tolist() == tokenizer.encode(text[:cut]).tolist()
    validation = np.concatenate([each.ids["validation"] for each in encoded])
    assert validation.tolist() == tokenizer.encode(text[cut:]).tolist()
    assert sum(each.characters for each in encoded) == len(text)
