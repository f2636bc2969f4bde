"""Token ids of nanoGPT and llm.c: read as they are, and one clear line for what cannot be used."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from jaxdec.config.run import DataConfig
from jaxdec.config.tokenizers import BPE, Words
from jaxdec.data.batches import Windows, random_batch, sweep
from jaxdec.data.shards import prepare
from jaxdec.data.tokenizers.registry import CharTokenizer, HuggingFaceTokenizer
from jaxdec.data.tokens import outside
from jaxdec.data.tokens.joined import Joined
from jaxdec.errors import UserError
from tests.data.tokenizers.test_bytes import needs_gpt2

IDS = np.random.default_rng(0).integers(0, 50_256, 900, dtype=np.uint16)
END = 50_256


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(outside, "SETTLED", -10)
    return tmp_path / "cache"


def llm_c(ids: np.ndarray, magic: int = 20240520, version: int = 1, count: int | None = None) -> bytes:
    header = np.zeros(256, "<i4")
    header[:3] = magic, version, len(ids) if count is None else count
    return header.tobytes() + ids.astype("<u2").tobytes()


def nanogpt(folder: Path, train: np.ndarray = IDS[:700], validation: np.ndarray = IDS[700:]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "train.bin").write_bytes(train.astype("<u2").tobytes())
    (folder / "val.bin").write_bytes(validation.astype("<u2").tobytes())
    return str(folder)


def characters(folder: Path, meta: object) -> str:
    place = nanogpt(folder, IDS[:700] % 3, IDS[700:] % 3)
    (folder / "meta.json").write_text(json.dumps(meta))
    return place


@needs_gpt2
def test_nanogpt_s_files_are_mapped_as_they_are(tmp_path: Path):
    train = IDS[:700].copy()
    train[[99, 499, 699]] = END  # behind each document
    dataset = prepare(DataConfig(nanogpt(tmp_path / "owt", train)))
    assert isinstance(dataset.train, np.memmap) and isinstance(dataset.validation, np.memmap)
    np.testing.assert_array_equal(dataset.train, train)
    np.testing.assert_array_equal(dataset.validation, IDS[700:])
    assert dataset.train_starts.tolist() == [0, 99, 499]
    assert dataset.tokenizer.kind == "gpt2"
    assert prepare(DataConfig(str(tmp_path / "owt"))).hash == dataset.hash
    nanogpt(tmp_path / "owt", train[::-1])
    assert prepare(DataConfig(str(tmp_path / "owt")), check=True).hash != dataset.hash


@needs_gpt2
def test_llm_c_s_files_are_one_array(tmp_path: Path):
    folder = tmp_path / "fineweb"
    folder.mkdir()
    parts = [IDS[:300].copy(), IDS[300:310].copy(), IDS[310:700].copy()]
    parts[0][[0, 120]] = END  # before each document
    for number, part in enumerate(parts):
        (folder / f"fineweb_train_{number:06}.bin").write_bytes(llm_c(part))
    (folder / "fineweb_val_000000.bin").write_bytes(llm_c(IDS[700:]))
    dataset = prepare(DataConfig(str(folder)))
    whole = np.concatenate(parts)
    np.testing.assert_array_equal(np.asarray(dataset.train), whole)
    assert dataset.train_starts.tolist() == [0, 120, 300, 310]
    for step in range(12):
        ours, theirs = (Windows(ids, 16, 4)(0, step) for ids in (dataset.train, whole))
        np.testing.assert_array_equal(ours["tokens"], theirs["tokens"])
    np.testing.assert_array_equal(
        random_batch(dataset.train, 16, 4, 0, 0)["targets"], random_batch(whole, 16, 4, 0, 0)["targets"]
    )
    for ours, theirs in zip(sweep(dataset.train, 16, 16, 8), sweep(whole, 16, 16, 8), strict=True):
        np.testing.assert_array_equal(ours["targets"], theirs["targets"])


def test_joined_arrays_are_indexed_as_one():
    parts = [np.arange(0, 7, dtype=np.uint16), np.arange(7, 8, dtype=np.uint16), np.arange(8, 30, dtype=np.uint16)]
    joined, whole = Joined(parts), np.arange(30, dtype=np.uint16)
    for index in (
        slice(None),
        slice(3, 9),
        slice(-4, None),
        slice(9, 3),
        slice(1, 29, 5),
        np.array([[0, 7], [-1, 8]]),
        7,
    ):
        np.testing.assert_array_equal(joined[index], whole[index])
    np.testing.assert_array_equal(joined[whole % 2 == 0], whole[::2])
    assert joined.shape == (30,) and joined.dtype == np.uint16
    with pytest.raises(IndexError):
        joined[np.array([30])]


@pytest.mark.parametrize("meta", [["a", "b", "c"], {"itos": {"0": "a", "1": "b", "2": "c"}, "stoi": {}}])
def test_characters_come_from_json(tmp_path: Path, meta: object):
    dataset = prepare(DataConfig(characters(tmp_path / "char", meta)))
    assert dataset.tokenizer.hash == CharTokenizer("abc").hash
    assert dataset.tokenizer.decode(dataset.train[:5]) == "".join("abc"[number % 3] for number in IDS[:5])


def test_a_pickle_is_refused_and_said_how_to_turn_it_into_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = Path(nanogpt(tmp_path / "char", IDS[:700] % 3, IDS[700:] % 3))
    (folder / "meta.pkl").write_bytes(pickle.dumps({"itos": dict(enumerate("abc")), "vocab_size": 3}))
    with pytest.raises(UserError) as caught:
        prepare(DataConfig(str(folder)))
    program = str(caught.value).split('python -c "')[1].rstrip('"')
    assert str(caught.value).startswith(f"{folder / 'meta.pkl'} is a pickle, which can run any code")
    monkeypatch.chdir(folder)
    exec(program, {})  # what the line says does it
    assert prepare(DataConfig(str(folder))).tokenizer.hash == CharTokenizer("abc").hash


@pytest.mark.parametrize("meta", [3, [], ["ab"], ["b", "a", "c"], {"itos": {"1": "a"}}, {"itos": 3}, [1, 2]])
def test_a_wrong_vocabulary_is_named(tmp_path: Path, meta: object):
    with pytest.raises(UserError, match=r"meta\.json is no vocabulary of characters|needs at least one character"):
        prepare(DataConfig(characters(tmp_path / "char", meta)))


def test_an_id_beyond_the_vocabulary_is_named(tmp_path: Path):
    folder = Path(characters(tmp_path / "char", ["a", "b", "c"]))
    ids = IDS[:700] % 3
    ids[77] = 5
    (folder / "train.bin").write_bytes(ids.tobytes())
    for _ in range(2):  # read, and remembered
        with pytest.raises(UserError, match=r"has the id 5 \(token 77 of 700\), beyond the vocabulary of 3 "):
            prepare(DataConfig(str(folder)))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"abc", "holds no uint16 token ids: it has 3 bytes"),
        (b"", "holds no uint16 token ids: it has 0 bytes"),
        (llm_c(IDS, version=7), "is of version 7 of llm.c's token files: only version 1 is read"),
        (llm_c(IDS)[:-2], "is damaged: its header says 900 tokens, its length 899"),
        (llm_c(IDS, count=5), "is damaged: its header says 5 tokens, its length 900"),
        (llm_c(IDS, count=-5), "is damaged: its header says -5 tokens"),
        (llm_c(IDS[:0]), "is damaged: its header says 0 tokens"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, line: str):
    folder = Path(characters(tmp_path / "char", ["a", "b", "c"]))
    (folder / "val.bin").write_bytes(content)
    with pytest.raises(UserError) as caught:
        prepare(DataConfig(str(folder)))
    assert f"{folder / 'val.bin'} {line}" in str(caught.value)


def test_another_tokenizer_with_the_same_tokens_reads_the_ids(tmp_path: Path):
    folder = characters(tmp_path / "char", ["a", "b", "c"])
    letters = {name: HuggingFaceTokenizer(library(name).to_str()) for name in ("abc", "acb")}
    assert prepare(DataConfig(folder), tokenizer=letters["abc"]).tokenizer is letters["abc"]
    with pytest.raises(UserError, match="the run's tokenizer is huggingface"):
        prepare(DataConfig(folder), tokenizer=letters["acb"])


def library(letters: str) -> Tokenizer:
    return Tokenizer(models.WordLevel({letter: number for number, letter in enumerate(letters)}, unk_token="a"))


def test_what_does_not_go_together_is_named(tmp_path: Path):
    folder = characters(tmp_path / "char", ["a", "b", "c"])
    for tokenizer in (BPE(300), Words()):
        with pytest.raises(UserError, match="for which no tokenizer is trained: leave out"):
            prepare(DataConfig(folder, tokenizer))
    with pytest.raises(
        UserError, match=r"of the tokenizer char \(hash \w+\), the run's tokenizer is char \(hash \w+\)"
    ):
        prepare(DataConfig(folder), tokenizer=CharTokenizer("abcd"))
    assert prepare(DataConfig(folder), tokenizer=CharTokenizer("abc")).tokenizer.hash == CharTokenizer("abc").hash
    with pytest.raises(UserError, match=r"data\.text_field means nothing"):
        prepare(DataConfig(folder, text_field="text"))
    Path(folder, "val.bin").unlink()
    with pytest.raises(UserError, match=r"token ids of one split only: val\.bin is missing"):
        prepare(DataConfig(folder))
