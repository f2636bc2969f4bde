"""Named corpora of records: as text, as typed records, and what is said where the file or a line of it is wrong."""

from __future__ import annotations

import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jaxdec.data import download
from jaxdec.data.corpora import fra_eng, hellaswag, instruct, preference, registry, sms_spam
from jaxdec.data.corpora.hellaswag import MultipleChoice
from jaxdec.data.corpora.instruct import Instruction
from jaxdec.data.corpora.pairs import load_pairs
from jaxdec.data.corpora.preference import Preference
from jaxdec.data.corpora.real import KnownFile
from jaxdec.data.corpora.registry import REAL, load_corpus
from jaxdec.data.corpora.sms_spam import Message
from jaxdec.data.files import sha256
from jaxdec.errors import UserError


def there(name: str) -> Path:
    """The corpus's file in the data folder."""
    corpus = REAL[name]
    for known in (corpus.known, *corpus.others):
        if os.environ.get("JAXDEC_DATA_DIR") and corpus.place_of(known).exists():
            return corpus.place_of(known)
    pytest.skip(f"{name} is not in $JAXDEC_DATA_DIR")


def documents(name: str) -> list[str]:
    pieces = list(load_corpus(name).pieces(None))
    assert all(piece.ends for piece in pieces)
    assert list(load_corpus(name).pieces(pieces[-3].place)) == pieces[-2:]
    return [piece.text for piece in pieces]


def test_sms_spam() -> None:
    messages = list(sms_spam.records(there("sms_spam")))
    assert Counter(message.label for message in messages) == {"ham": 4827, "spam": 747}
    assert messages[1] == Message("ham", "Ok lar... Joking wif u oni...")
    assert documents("sms_spam") == [message.text for message in messages]


def test_instruct() -> None:
    path = there("instruct")
    examples = list(instruct.records(path))
    assert [vars(example) for example in examples] == json.loads(path.read_text(encoding="utf-8"))
    texts = documents("instruct")
    assert len(texts) == 1100
    assert texts[2] == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nConvert 45 kilometers to meters.\n\n"
        "### Response:\n45 kilometers is 45000 meters."
    )
    assert "\n\n### Input:\nfreind --> friend\n\n### Response:\n" in texts[0]


def test_preference() -> None:
    path = there("preference")
    raw = json.loads(path.read_text(encoding="utf-8"))
    pairs = list(preference.records(path))
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [(entry["chosen"], entry["rejected"]) for entry in raw]
    assert all(entry["instruction"] in pair.prompt for pair, entry in zip(pairs, raw, strict=True))
    assert documents("preference")[5] == f"{pairs[5].prompt}\n\n### Response:\n{pairs[5].chosen}"


def test_hellaswag() -> None:
    questions = list(hellaswag.records(there("hellaswag")))
    assert len(questions) in (1000, 10_042)
    assert {len(question.endings) for question in questions} == {4}
    assert set(Counter(question.label for question in questions)) == {0, 1, 2, 3}
    assert documents("hellaswag")[0] == (
        "Pole vault is a sport where you run with a pole and stop and swing your body. a few women are in the gym "
        "practicing to do this pole vault, trying to do their best."
    )


def test_fra_eng_is_one_file_for_lines_and_for_pairs() -> None:
    there("fra_eng")
    lines = documents("fra_eng")
    assert [tuple(line.split("\t")[:2]) for line in lines] == load_pairs("fra_eng").pairs
    assert len(lines) == 76_037


@pytest.mark.parametrize(
    ("records", "good"),
    [
        (instruct.records, Instruction("Add.", "1 and 2", "3")),
        (instruct.records, Instruction("Add 1 and 2.", "", "3")),
        (preference.records, Preference("Add.", "3", "4")),
        (hellaswag.records, MultipleChoice("He", ("runs", "sits"), 1)),
    ],
)
@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_own_records_of_the_same_fields(tmp_path: Path, records: Callable[[Path], Iterator[Any]], good: Any, kind: str):
    fields = {"ctx" if name == "context" else name: value for name, value in vars(good).items()}
    path = tmp_path / f"own.{kind}"
    path.write_text(json.dumps([fields] * 2) if kind == "json" else f"{json.dumps(fields)}\n" * 2)
    assert list(records(path)) == [good, good]


@pytest.mark.parametrize(
    ("records", "fields", "said"),
    [
        (
            instruct.records,
            {"instruction": "a", "output": "b"},
            "has no field 'input': its fields are instruction, output",
        ),
        (instruct.records, {"instruction": "", "input": "", "output": "b"}, "has an empty 'instruction'"),
        (
            instruct.records,
            {"instruction": "a", "input": 3, "output": "b"},
            "has '3' as its 'input', which is not text",
        ),
        (preference.records, {"prompt": "a", "chosen": "b"}, "has no field 'rejected'"),
        (
            hellaswag.records,
            {"ctx": "a", "endings": "b", "label": 0},
            "'b' as its 'endings', which is not a list of texts",
        ),
        (
            hellaswag.records,
            {"ctx": "a", "endings": ["b"], "label": 0},
            "'endings' that is no list of two texts or more",
        ),
        (
            hellaswag.records,
            {"ctx": "a", "endings": ["b", "c"], "label": 2},
            "'label' 2: give a whole number from 0 to 1",
        ),
        (hellaswag.records, {"ctx": "a", "endings": ["b", "c"], "label": True}, "'label' True: give a whole number"),
    ],
)
def test_a_wrong_record_is_named(
    tmp_path: Path, records: Callable[[Path], Iterator[Any]], fields: Any, said: str
) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("\n" + json.dumps(fields))
    with pytest.raises(UserError) as caught:
        list(records(path))
    assert str(caught.value).startswith(f"line 2 of {path} has ")
    assert said in str(caught.value)


@pytest.mark.parametrize("line", ["spam", "eggs\ttext", "ham\t "])
def test_a_wrong_message_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "messages"
    path.write_text(f"ham\tfine\r\n{line}\n")
    with pytest.raises(UserError, match=f"line 2 of {path} is no message"):
        list(sms_spam.records(path))


def test_records_that_are_not_there(tmp_path: Path) -> None:
    for name, content, said in (("a.txt", "text", "is no file of records"), ("a.jsonl", "\n", "it has no record")):
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=said):
            list(instruct.records(tmp_path / name))


@pytest.fixture
def spam(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A small collection in an archive, an empty data folder, and no network."""
    content = b"ham\thello\nspam\tbuy\n"
    archive = tmp_path / "collection.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("readme", "about it")
        opened.writestr("SMSSpamCollection", content)
    packed = KnownFile("collection.zip", None, sha256(archive.read_bytes()))
    assert sms_spam.CORPUS.archive is not None
    corpus = replace(
        sms_spam.CORPUS,
        size=len(content),
        sha256=sha256(content),
        archive=replace(sms_spam.CORPUS.archive, known=packed),
        mirrors=(archive.as_uri(),),
    )
    monkeypatch.setitem(registry.REAL, "sms_spam", corpus)
    monkeypatch.setenv("JAXDEC_DATA_DIR", str(tmp_path / "data"))
    return archive


def in_data_folder(archive: Path) -> list[str]:
    return [path.name for path in (archive.parent / "data" / "sms_spam").iterdir()]


def test_a_download_that_is_packed(spam: Path) -> None:
    assert [piece.text for piece in load_corpus("sms_spam").pieces(None)] == ["hello", "buy"]
    assert in_data_folder(spam) == ["SMSSpamCollection"]


def test_a_given_archive_and_a_given_file(spam: Path) -> None:
    assert [piece.text for piece in load_corpus("sms_spam", spam).pieces(None)] == ["hello", "buy"]
    place = spam.parent / "data" / "sms_spam" / "SMSSpamCollection"
    mine = spam.parent / "mine"
    place.rename(mine)
    assert [piece.text for piece in load_corpus("sms_spam", mine).pieces(None)] == ["hello", "buy"]
    assert in_data_folder(spam) == ["SMSSpamCollection"]
    (spam.parent / "other").write_text("ham\tother\n")
    with pytest.raises(UserError, match="other is not sms_spam: it has 10 bytes"):
        load_corpus("sms_spam", spam.parent / "other")


def test_an_archive_with_something_else(spam: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(spam, "w") as opened:
        opened.writestr("SMSSpamCollection", b"ham\tother\n")
    corpus = registry.REAL["sms_spam"]
    assert corpus.archive is not None
    known = replace(corpus.archive.known, sha256=sha256(spam.read_bytes()))
    monkeypatch.setitem(registry.REAL, "sms_spam", replace(corpus, archive=replace(corpus.archive, known=known)))
    with pytest.raises(UserError, match="is not sms_spam: its sha256 is"):
        list(load_corpus("sms_spam").pieces(None))


def test_a_part_of_hellaswag_does_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first 1,000 questions are used where they are; else the whole is downloaded."""
    part = there("hellaswag")
    monkeypatch.setenv("JAXDEC_DATA_DIR", str(tmp_path))

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(download.urllib.request, "urlopen", unreachable)
    with pytest.raises(UserError, match=r"hellaswag_val\.jsonl: no network in this test"):
        list(load_corpus("hellaswag").pieces(None))
    assert len(list(load_corpus("hellaswag", part).pieces(None))) == 1000
    assert [path.name for path in (tmp_path / "hellaswag").iterdir()] == [part.name]
    assert len(list(load_corpus("hellaswag").pieces(None))) == 1000


def test_what_is_known_of_each() -> None:
    for name, corpus in REAL.items():
        assert corpus.licence, name
        assert corpus.origin, name
        assert len(corpus.sha256) == 64
        assert corpus.licence in registry.CORPORA[name]
    assert fra_eng.CORPUS.mirrors == ()
