"""Texts with labels: which split each belongs to, what is left out, and the batches that follow from a step."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxdec.config.classify import Classify
from jaxdec.config.run import DataConfig
from jaxdec.data.corpora.labelled import Example, load_examples
from jaxdec.data.labelled import LabelledBatches, LabelledDataset, prepare_labelled
from jaxdec.errors import UserError

STAGE = Classify()


def examples() -> list[Example]:
    """Three classes of 18, 33 and 48 texts, of which 3 each are there twice."""
    names = ("small", "middle", "middle", "large", "large", "large")
    found = [Example(names[number % 6], f"no {number}") for number in range(90)]
    return found + found[::10]


def write(path: Path, found: Sequence[Example]) -> DataConfig:
    path.write_text("".join(json.dumps(example._asdict()) + "\n" for example in found))
    return DataConfig(str(path))


def prepared(path: Path, found: Sequence[Example], stage: Classify = STAGE, window: int = 8) -> LabelledDataset:
    return prepare_labelled(write(path, found), stage, window)


def test_each_split_has_its_share_of_each_class_and_no_text_is_in_two(tmp_path: Path) -> None:
    stage = replace(STAGE, balance="none")
    data = prepared(tmp_path / "a.jsonl", examples(), stage)
    assert data.labels == ("large", "middle", "small")
    sizes = {name: np.bincount(rows.labels) for name, rows in data.splits.items()}
    total = sum(sizes.values())
    np.testing.assert_array_equal(total, [48, 33, 18])
    for name, share in (("training", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert np.all(np.abs(sizes[name] - share * total) <= 2), name
    texts = [set(rows.texts) for rows in data.splits.values()]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    assert sum(map(len, data.splits.values())) == 99, "texts that occur twice are there twice"
    shuffled = prepared(tmp_path / "b.jsonl", examples()[::-1], stage)
    assert [sorted(rows.texts) for rows in shuffled.splits.values()] == [
        sorted(rows.texts) for rows in data.splits.values()
    ]
    other = prepared(tmp_path / "a.jsonl", examples(), replace(stage, split_seed=1))
    assert set(other.splits["test"].texts) != texts[2] and other.hash != data.hash


def test_classes_are_made_equal_weighted_or_left(tmp_path: Path) -> None:
    under = prepared(tmp_path / "a.jsonl", examples())
    assert Counter(label for rows in under.splits.values() for label in rows.labels.tolist()) == {0: 18, 1: 18, 2: 18}
    assert under.left_out == {"to make the classes equal": 45}
    np.testing.assert_array_equal(under.weights, 1)

    weighted = prepared(tmp_path / "a.jsonl", examples(), replace(STAGE, balance="weight"))
    labels = weighted.splits["training"].labels
    sums = np.bincount(labels, weights=weighted.weights[labels])
    np.testing.assert_allclose(sums, len(labels) / 3, rtol=1e-6)
    batch = LabelledBatches(weighted.splits["training"], weighted.weights, 5)(0, 0)
    np.testing.assert_array_equal(batch["weights"], weighted.weights[batch["labels"]])

    left = prepared(tmp_path / "a.jsonl", examples(), replace(STAGE, balance="none"))
    assert not left.left_out and set(left.weights.tolist()) == {1.0}


def test_a_text_with_two_labels_is_left_out_and_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    found = [Example(str(number % 11), f"text {number}") for number in range(220)]
    data = prepared(tmp_path / "a.jsonl", [*found, Example("4", "text 0")])
    assert data.labels == tuple(map(str, range(11)))
    assert data.left_out == {"with several labels": 2, "to make the classes equal": 10}
    assert not any("text 0" in rows.texts for rows in data.splits.values())


def test_batches_follow_from_seed_and_step_and_an_epoch_has_every_text(tmp_path: Path) -> None:
    data = prepared(tmp_path / "a.jsonl", examples())
    rows = data.splits["training"]
    batches = LabelledBatches(rows, data.weights, 4)
    steps = -(-len(rows) // 4)
    first, later = batches(3, 0), [batches(3, step) for step in range(steps)]
    for name, leaf in first.items():
        np.testing.assert_array_equal(leaf, later[0][name])
    assert first["tokens"].shape == (4, 8) and first["tokens"].dtype == first["labels"].dtype == np.int32
    seen = Counter(bytes(row) for batch in later for row in batch["tokens"])
    expected = Counter(bytes(row) for row in rows.tokens)
    assert sum((expected - seen).values()) == 0, "each text at least as often as the split has it"
    assert not np.array_equal(first["tokens"], batches(4, 0)["tokens"])


def test_rows_are_texts_then_pads_and_long_ones_are_cut_and_counted(tmp_path: Path) -> None:
    found = [Example("ab"[number % 2], f"{number:02} " + "x" * number) for number in range(40)]
    data = prepared(tmp_path / "a.jsonl", found, window=20)
    assert sum(rows.truncated for rows in data.splits.values()) == 22  # of 3 + number characters, those above 20
    for rows in data.splits.values():
        for text, tokens, length in zip(rows.texts, rows.tokens, rows.lengths, strict=True):
            assert length == min(20, len(text))
            assert data.tokenizer.decode(tokens[:length]) == text[:20]
            assert np.all(tokens[length:] == data.pad)
    assert data.tokenizer.decode([data.pad]) == "\n"


def test_the_embedded_messages_are_of_two_classes_and_all_different() -> None:
    _, found = load_examples("embedded", "label", None, None, None)
    assert Counter(example.label for example in found) == {"ham": 153, "spam": 118}
    assert len({example.text.lower() for example in found}) == len(found)


LINE = '{"text": "a", "label": "x"}\n'


@pytest.mark.parametrize(
    ("name", "content", "stage", "said"),
    [
        ("a.jsonl", LINE * 9, STAGE, "has one class only, 'x'"),
        ("a.jsonl", LINE + '{"text": "b"}\n', STAGE, "line 2 @ has no field 'label'"),
        (
            "a.csv", "message,label\nhello,ham\n", STAGE,
            "line 2 @ has no field 'text': its fields are message, label; name the",
        ),
        ("a.csv", "text,kind\nhello,ham\n", STAGE, "name the right one with --stage.label-field NAME"),
        ("a.tsv", "label\ttext\nham\thello\nspam\t \n", STAGE, "line 3 @ has an empty 'text'"),
        ("a.tsv", "label\ttext\nham\thello\n\tspam\n", STAGE, "line 3 @ has '' as its 'label': a label is a text"),
        ("a.jsonl", LINE + '{"text": "b", "label": 0.5}\n', STAGE, "line 2 @ has 0.5 as its 'label'"),
        (
            "a.jsonl", LINE + '{"text": "b", "label": "eggs"}\n', replace(STAGE, labels=("x", "y")),
            "line 2 @ has the label 'eggs', which is none of the classes x, y",
        ),
        ("a.jsonl", LINE + '{"text": "b", "label": "y"}\n', STAGE, "the class 'x' of the corpus"),
        ("a.txt", "hello\n", STAGE, "is no file of records"),
        ("a.csv", "", STAGE, "is empty"),
    ],
)  # fmt: skip
def test_bad_files_get_one_line(name: str, content: str, stage: Classify, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as error:
        prepare_labelled(DataConfig(str(tmp_path / name)), stage, 8)
    assert said.replace("@", f"of {tmp_path / name}") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DataConfig("sms_spm"), "(did you mean 'sms_spam'?)"),
        (DataConfig("embedded", limit_documents=3), "data.limit_documents means nothing to texts with labels"),
    ],
)
def test_corpora_that_are_none(data: DataConfig, said: str) -> None:
    with pytest.raises(UserError) as error:
        prepare_labelled(data, STAGE, 8)
    assert said in str(error.value)
