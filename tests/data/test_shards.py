"""Shards: exact content, one writing however many processes, and a clear line for whatever is damaged or missing."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdec.config.run import DataConfig
from jaxdec.config.tokenizers import BPE, Characters, HuggingFace, Words
from jaxdec.data import shards
from jaxdec.data.shards import Dataset, prepare
from jaxdec.data.tokenizers.registry import CharTokenizer, train_tokenizer
from jaxdec.data.tokens import output
from jaxdec.data.tokens.file import HEADER, open_tokens
from jaxdec.errors import UserError
from tests.data.tokenizers.vocabularies import byte_level_file

SHARDS = ["tokenizer", "train.safetensors", "validation.safetensors"]
TEXT = "The quick brown fox jumps over the lazy dog.\n" * 40


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("JAXDEC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    path = tmp_path / "fox.txt"
    path.write_text(TEXT, encoding="utf-8", newline="")
    return str(path)


def folder_of(dataset: Dataset) -> Path:
    assert dataset.folder is not None
    return dataset.folder


def count_writes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    written: list[Path] = []
    original = shards.make_shards
    monkeypatch.setattr(shards, "make_shards", lambda folder, *rest: (written.append(folder), original(folder, *rest)))
    return written


def test_the_splits_are_the_text(corpus: str):
    dataset = prepare(DataConfig(corpus, validation_fraction=0.25))
    text = dataset.tokenizer.decode(dataset.train) + dataset.tokenizer.decode(dataset.validation)
    assert text == TEXT
    assert len(dataset.train) == int(len(TEXT) * 0.75)
    assert dataset.train.dtype == dataset.validation.dtype == np.uint16
    assert isinstance(dataset.train, np.memmap)
    assert not dataset.train.flags.writeable
    assert dataset.conditional_entropy is None
    assert dataset.tokenizer.hash == CharTokenizer.train(TEXT[: len(dataset.train)]).hash


def test_the_default_split_is_nanogpt_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path = tmp_path / "long.txt"
    path.write_text("ab" * (1_115_394 // 2))
    dataset = prepare(DataConfig(str(path)))
    assert (len(dataset.train), len(dataset.validation)) == (1_003_854, 111_540)  # as nanoGPT's prepare.py reports


def test_a_second_start_reads_what_the_first_wrote(corpus: str, monkeypatch: pytest.MonkeyPatch):
    written = count_writes(monkeypatch)
    first, second = prepare(DataConfig(corpus)), prepare(DataConfig(corpus))
    assert len(written) == 1
    assert (first.hash, folder_of(first)) == (second.hash, folder_of(second))
    assert sorted(path.name for path in folder_of(first).iterdir()) == SHARDS
    assert list(folder_of(first).parent.iterdir()) == [folder_of(first)]


def test_a_run_s_own_tokenizer_finds_the_shards_of_its_training(corpus: str, monkeypatch: pytest.MonkeyPatch):
    written = count_writes(monkeypatch)
    first = prepare(DataConfig(corpus))
    again = prepare(DataConfig(corpus), tokenizer=first.tokenizer)
    assert len(written) == 1
    assert again.hash == first.hash


def test_another_tokenizer_is_used_as_given(corpus: str, monkeypatch: pytest.MonkeyPatch):
    first = prepare(DataConfig(corpus))
    wider = CharTokenizer.train(TEXT + "0123456789")
    written = count_writes(monkeypatch)
    second, third = (prepare(DataConfig(corpus), tokenizer=wider) for _ in range(2))
    assert len(written) == 1
    assert second.hash == third.hash != first.hash
    assert second.tokenizer.hash == wider.hash
    assert (second.train != first.train).any()
    assert wider.decode(second.train) == first.tokenizer.decode(first.train)


def test_whatever_determines_the_shards_is_in_their_hash(corpus: str, tmp_path: Path):
    other = tmp_path / "other" / "fox.txt"
    other.parent.mkdir()
    other.write_text(TEXT.upper())
    datasets = [
        prepare(data)
        for data in (
            DataConfig(corpus),
            DataConfig(corpus, validation_fraction=0.2),
            DataConfig(str(other)),
            DataConfig("markov"),
        )
    ]
    assert len({dataset.hash for dataset in datasets}) == len({folder_of(dataset) for dataset in datasets}) == 4


def test_the_settings_of_a_tokenizer_are_in_the_hash(corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "given.json"
    path.write_text(byte_level_file(TEXT, 270), encoding="utf-8")
    kinds = (Characters(), Words(), BPE(260), BPE(261), HuggingFace(str(path)))
    datasets = [prepare(DataConfig(corpus, tokenizer)) for tokenizer in kinds]
    assert len({dataset.hash for dataset in datasets}) == len({folder_of(dataset) for dataset in datasets}) == 5
    assert [dataset.tokenizer.kind for dataset in datasets] == [tokenizer.kind for tokenizer in kinds]
    assert [dataset.tokenizer.vocab_size for dataset in datasets[2:]] == [260, 261, 270]
    written = count_writes(monkeypatch)
    assert [prepare(DataConfig(corpus, kind)).hash for kind in kinds] == [dataset.hash for dataset in datasets]
    assert not written
    path.write_text(byte_level_file(TEXT, 265), encoding="utf-8")  # the content counts, not the path
    assert prepare(DataConfig(corpus, kinds[-1])).tokenizer.vocab_size == 265
    path.unlink()
    kept = prepare(DataConfig(corpus, kinds[-1]), tokenizer=datasets[-1].tokenizer)
    assert kept.hash == datasets[-1].hash
    assert len(written) == 1


@pytest.mark.parametrize("tokenizer", [BPE(300), Words()])
def test_a_tokenizer_learns_from_the_training_split_alone(tmp_path: Path, tokenizer: BPE | Words):
    path = tmp_path / "two halves.txt"
    path.write_text("ab ab " * 50 + "xy xy " * 50)
    dataset = prepare(DataConfig(str(path), tokenizer, validation_fraction=0.5))
    assert dataset.tokenizer.hash == train_tokenizer(tokenizer, "ab ab " * 50).hash
    assert dataset.tokenizer.hash != train_tokenizer(tokenizer, path.read_text()).hash


def test_entropy_a_character_bounds_only_characters():
    assert prepare(DataConfig("markov")).conditional_entropy is not None
    for tokenizer in (BPE(300), Words()):
        assert prepare(DataConfig("markov", tokenizer)).conditional_entropy is None


def test_a_split_without_a_token_is_named(tmp_path: Path, cache: Path):
    path = tmp_path / "blank.txt"
    path.write_text("words " * 9 + " " * 200)
    with pytest.raises(UserError, match=r"the validation split of the corpus .*blank\.txt has no token"):
        prepare(DataConfig(str(path), Words(), validation_fraction=0.5))
    assert not cache.exists()


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path):
    letters = "".join(chr(point) for point in range(0x20000, 0x20000 + 2**16 + 1))
    path = tmp_path / "many.txt"
    path.write_text(letters * 2, encoding="utf-8")
    dataset = prepare(DataConfig(str(path), validation_fraction=0.1))
    assert dataset.train.dtype == np.uint32
    assert dataset.tokenizer.decode(dataset.train) + dataset.tokenizer.decode(dataset.validation) == letters * 2


def test_a_character_of_validation_that_training_never_had(tmp_path: Path, cache: Path):
    path = tmp_path / "late.txt"
    path.write_text("ab\n" * 30 + "aé", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        prepare(DataConfig(str(path)))
    message = str(caught.value)
    assert message.startswith(
        f"the validation split of the corpus {path} has the character 'é' (offset 91, line 31, column 2)"
    )
    assert "--data.validation-fraction" in message
    assert not cache.exists()


def test_a_character_that_the_run_s_tokenizer_lacks(corpus: str):
    with pytest.raises(UserError, match=r"the train split of the corpus .* has the character 'T' \(offset 0, "):
        prepare(DataConfig(corpus), tokenizer=CharTokenizer("abc"))


@pytest.mark.parametrize("text", ["a", "ab"])
def test_a_corpus_that_cannot_be_split(tmp_path: Path, text: str):
    path = tmp_path / "short.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=r"short\.txt is too short"):
        prepare(DataConfig(str(path), validation_fraction=0.6))


def damage(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("name", ["train.safetensors", "validation.safetensors", "tokenizer/tokenizer.json"])
@pytest.mark.parametrize(
    "harm",
    [
        damage(lambda content: content[:-1]),
        damage(lambda content: content[: len(content) // 2]),
        damage(lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]),
        damage(lambda content: b"\x00" * len(content)),
        damage(lambda content: b""),
        damage(lambda content: content + b"\x00"),
        Path.unlink,
    ],
    ids=["a byte short", "half", "a bit flipped", "zeroed", "empty", "a byte more", "missing"],
)
def test_a_damaged_file_is_named_and_said_how_to_mend(corpus: str, name: str, harm: Callable[[Path], object]):
    folder = folder_of(prepare(DataConfig(corpus)))
    harm(folder / name)
    if name.endswith(".json") and (folder / name).exists() and _is_json(folder / name):
        return  # the missing last newline makes no difference to JSON
    with pytest.raises(UserError) as caught:
        prepare(DataConfig(corpus))
    message = str(caught.value)
    assert str(folder / name) in message
    assert f"Delete the folder {folder} and run `jaxdec prepare`" in message
    assert "\n" not in message


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def test_every_byte_of_a_shard_is_covered(corpus: str):
    path = folder_of(prepare(DataConfig(corpus))) / "train.safetensors"
    content = path.read_bytes()
    end = len(content[:HEADER].rstrip(b" "))
    places = [*range(0, end, 37), *range(HEADER, len(content), 5)]
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(UserError, match="damaged"):
            open_tokens(path)
    path.write_bytes(content)
    assert len(open_tokens(path).tokens) == int(len(TEXT) * 0.9)


def test_a_start_checks_what_it_can_afford_and_the_check_all(corpus: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jaxdec.data.tokens.file.BLOCK", 512)
    monkeypatch.setattr("jaxdec.data.tokens.file.START_CHECK", 1024)
    path = folder_of(prepare(DataConfig(corpus))) / "train.safetensors"
    content = bytearray(path.read_bytes())
    content[HEADER + 1600] ^= 1
    path.write_bytes(content)
    prepare(DataConfig(corpus))
    with pytest.raises(UserError, match=r"train\.safetensors is damaged: the block from byte 5,632 on does not fit"):
        prepare(DataConfig(corpus), check=True)
    content[HEADER + 1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train\.safetensors is damaged: the block from byte 4,608 on does not fit"):
        prepare(DataConfig(corpus))
    path.write_bytes(content[:-2])
    with pytest.raises(UserError, match=r"train\.safetensors is damaged: it has [\d,]+ bytes instead of "):
        prepare(DataConfig(corpus))


def test_shards_of_another_tokenizer_are_refused(corpus: str):
    first, second = (folder_of(prepare(DataConfig(corpus, BPE(size)))) for size in (260, 261))
    shutil.rmtree(first / "tokenizer")
    shutil.copytree(second / "tokenizer", first / "tokenizer")
    with pytest.raises(UserError, match=r"train\.safetensors is damaged: its ids are of another tokenizer than "):
        prepare(DataConfig(corpus, BPE(260)))


def test_other_programs_read_a_shard(corpus: str):
    library = pytest.importorskip("safetensors.numpy")
    dataset = prepare(DataConfig(corpus))
    path = folder_of(dataset) / "train.safetensors"
    tensors = library.load_file(path)
    np.testing.assert_array_equal(tensors["tokens"], dataset.train)
    np.testing.assert_array_equal(tensors["document_starts"], [0])
    with pytest.importorskip("safetensors").safe_open(path, "np") as file:
        assert file.metadata()["tokenizer_hash"] == dataset.tokenizer.hash


def test_a_cache_folder_that_cannot_be_made_is_named(corpus: str, cache: Path):
    cache.write_text("a file in its place")
    with pytest.raises(UserError, match=r"the cache folder .* cannot be written"):
        prepare(DataConfig(corpus))


def test_a_full_disk_is_named_and_what_is_done_counts(corpus: str, cache: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("jaxdec.data.tokens.output.finish", full)
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\): free space there and run"):
            prepare(DataConfig(corpus))
    assert [path.name[0] for path in (cache / "shards").iterdir()] == ["."]  # nothing that looks whole
    monkeypatch.setattr(CharTokenizer, "train", full)  # the tokenizer is kept
    dataset = prepare(DataConfig(corpus))
    assert list((cache / "shards").iterdir()) == [folder_of(dataset)]
    assert dataset.tokenizer.decode(dataset.train) + dataset.tokenizer.decode(dataset.validation) == TEXT


def test_a_second_writer_waits_and_takes_what_the_first_made(corpus: str, monkeypatch: pytest.MonkeyPatch):
    original, waited, made = output.finish, threading.Event(), []

    def finish(*args: Any) -> None:
        if not made:  # while the first prepare writes, a second one starts
            made.append(threading.Thread(target=second))
            made[0].start()
            assert waited.wait(20)
        original(*args)

    def second() -> None:
        made.append(prepare(DataConfig(corpus), report=lambda progress: waited.set()))

    monkeypatch.setattr(output, "finish", finish)
    dataset = prepare(DataConfig(corpus))
    made[0].join()
    assert folder_of(dataset) == folder_of(made[1])
    assert list(folder_of(dataset).parent.iterdir()) == [folder_of(dataset)]


def test_processes_that_start_together_agree(corpus: str, cache: Path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        hashes = pool.map(_prepared_hash, [(corpus, str(cache))] * 3, chunksize=1)
    assert len(set(hashes)) == 1
    assert len(list((cache / "shards").iterdir())) == 1


def _prepared_hash(arguments: tuple[str, str]) -> str:
    corpus, cache = arguments
    os.environ["JAXDEC_CACHE_DIR"] = cache
    return prepare(DataConfig(corpus)).hash
