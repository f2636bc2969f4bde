"""Many documents: which split each is in, what stands between them, and what a corpus must have."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.config.run import DataConfig
from jaxdec.config.tokenizers import BPE, Characters, Words
from jaxdec.data.shards import Dataset, prepare
from jaxdec.data.tokenizers.registry import END_OF_TEXT, CharTokenizer, HuggingFaceTokenizer
from jaxdec.data.tokens import make
from jaxdec.data.tokens.encode import encode_stream
from jaxdec.data.tokens.make import boundary_of
from jaxdec.data.tokens.split import Reading, Splitter
from jaxdec.errors import UserError
from tests.data.tokenizers.test_huggingface import words
from tests.data.tokens.corpora import of_documents, of_one

DOCUMENTS = [f"the document {number}, it says {'so ' * (number % 5)}much" for number in range(60)]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def file_of(documents: list[str], tmp_path: Path) -> str:
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    return str(path)


def documents_of(dataset: Dataset, split: str) -> list[list[int]]:
    """The ids of each document of a split, with the boundary that it begins with."""
    ids, starts = getattr(dataset, split), getattr(dataset, f"{split}_starts")
    return [part.tolist() for part in np.split(np.asarray(ids), starts[1:])]


def validation_of(documents: list[str], fraction: float = 0.1) -> list[str]:
    splitter = Splitter(of_documents(documents), fraction)
    return [text for number, text in enumerate(documents) if splitter.of_document(number) == "validation"]


@given(count=st.integers(1, 400), fraction=st.sampled_from([0.1, 0.005, 0.3, 0.25, 1 / 3, 0.9]))
def test_the_share_of_validation_is_exact_and_evenly_spread(count: int, fraction: float):
    splitter = Splitter(of_documents([]), fraction)
    places = [number for number in range(count) if splitter.of_document(number) == "validation"]
    assert abs(len(places) - count * fraction) < 1
    for group, place in enumerate(places):
        assert int(group / fraction) <= place < (group + 1) / fraction


def test_one_of_ten_is_drawn_for_validation():
    splitter = Splitter(of_documents([]), 0.1)
    places = [number for number in range(10_000) if splitter.of_document(number) == "validation"]
    assert [place // 10 for place in places] == list(range(1000))
    counts = np.bincount([place % 10 for place in places])
    assert counts.min() > 70 and counts.max() < 130


@given(text=st.text("ab \n", min_size=2, max_size=50), size=st.integers(1, 9), fraction=st.floats(0.05, 0.95))
def test_one_document_is_split_by_position_to_the_character(text: str, size: int, fraction: float):
    cut = int(len(text) * (1 - fraction))
    if not 0 < cut < len(text):
        return
    parts = {"train": "", "validation": ""}
    begun = []
    for stretches, _ in Splitter(of_one(text, size), fraction).stretches(
        lambda text: (len(text), len(text)), Reading()
    ):
        for stretch in stretches:
            assert stretch.offset == len(parts["train"]) + len(parts["validation"])
            parts[stretch.split] += stretch.text
            begun += [stretch.split] * stretch.begins
    assert (parts["train"], parts["validation"]) == (text[:cut], text[cut:])
    assert begun == ["train", "validation"]


@pytest.mark.parametrize("tokenizer", [BPE(300), Words(), Characters()])
def test_a_token_begins_and_ends_every_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: BPE | Words | Characters
):
    monkeypatch.setattr(make, "encode_stream", functools.partial(encode_stream, batch_size=100))
    dataset = prepare(DataConfig(file_of(DOCUMENTS, tmp_path), tokenizer))
    boundary = boundary_of(dataset.tokenizer)
    assert boundary is not None
    if isinstance(tokenizer, Characters):
        assert dataset.tokenizer.decode([boundary]) == "\n"
    else:
        assert boundary == dataset.tokenizer.end_of_text
    validation = validation_of(DOCUMENTS)
    for split, texts in (("train", [text for text in DOCUMENTS if text not in validation]), ("validation", validation)):
        encoded = [[boundary, *dataset.tokenizer.encode(text).tolist()] for text in texts]
        encoded[-1].append(boundary)
        assert documents_of(dataset, split) == encoded


def test_a_tokenizer_that_learns_sees_the_training_documents_alone(tmp_path: Path):
    validation = validation_of(DOCUMENTS)
    documents = [text + ("" if text in validation else "é") for text in DOCUMENTS]
    assert "é" in prepare(DataConfig(file_of(documents, tmp_path))).tokenizer.to_dict()["characters"]
    documents = [text + ("é" if text in validation else "") for text in DOCUMENTS]
    number = documents.index(f"{validation[0]}é")
    length = len(validation[0])
    place = rf"\(document {number + 1}, offset {length}, line 1, column {length + 1}\)"
    with pytest.raises(UserError, match=rf"the validation split of the corpus .* has the character 'é' {place}"):
        prepare(DataConfig(file_of(documents, tmp_path)))
    documents[number] = "one\n" + documents[number]
    with pytest.raises(UserError, match=rf"offset {length + 4}, line 2, column {length + 1}"):
        prepare(DataConfig(file_of(documents, tmp_path)))


@pytest.mark.parametrize("tokenizer", [BPE(300), Words()])
def test_the_characters_of_a_special_token_are_text(tmp_path: Path, tokenizer: BPE | Words):
    documents = [f"{text} {END_OF_TEXT} and more" for text in DOCUMENTS]
    dataset = prepare(DataConfig(file_of(documents, tmp_path), tokenizer))
    ids = np.concatenate([dataset.train, dataset.validation])
    assert (ids == dataset.tokenizer.end_of_text).sum() == len(documents) + 2  # the two that end a split
    if isinstance(tokenizer, BPE):
        first = dataset.tokenizer.decode(documents_of(dataset, "validation")[0][1:])
        assert first == validation_of(documents)[0]


def test_without_a_token_to_stand_between_documents_follow_each_other():
    assert boundary_of(CharTokenizer("ab")) is None
    assert boundary_of(HuggingFaceTokenizer(words("[CLS]").to_str())) is None


@pytest.mark.parametrize(
    ("count", "fraction", "split"), [(1, 0.9, "train"), (1, 0.1, "validation"), (2, 0.1, "validation")]
)
def test_a_split_without_a_document_is_named(tmp_path: Path, cache: Path, count: int, fraction: float, split: str):
    with pytest.raises(UserError) as caught:
        prepare(DataConfig(file_of(DOCUMENTS[:count], tmp_path), Words(), validation_fraction=fraction))
    message = str(caught.value)
    assert f"the {split} split of the corpus " in message and f"has no document: it has {count} in all" in message
    assert "--data.validation-fraction" in message
    assert not cache.exists()
