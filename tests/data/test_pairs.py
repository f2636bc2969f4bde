"""Pairs: the corpora and their errors, the split by source, and batches as pure functions of a step."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.run import DataConfig
from jaxdec.data.corpora import fra_eng, reversal
from jaxdec.data.corpora.pairs import PairCorpus, load_pairs
from jaxdec.data.pairs import PairBatches, batch_of, pair_sweep, prepare_pairs, split, validation_sources
from jaxdec.errors import UserError

WINDOW = 16
DATA = DataConfig(corpus="reverse")


@pytest.fixture(scope="module")
def dataset():
    return prepare_pairs(DATA, WINDOW)


@pytest.mark.parametrize("task", reversal.TASKS)
def test_a_synthetic_target_follows_from_its_source(task: str):
    pairs = reversal.generate(task)
    assert len({source for source, _ in pairs}) == len(pairs) == reversal.PAIRS
    lengths = {len(source) for source, _ in pairs}
    assert (min(lengths), max(lengths)) == (reversal.SHORTEST, reversal.LONGEST)
    for source, target in pairs[:100]:
        assert target == (source[::-1] if task == "reverse" else "".join(sorted(source)))
    assert pairs == reversal.generate(task)


def test_the_synthetic_sources_stay_the_same():
    """A new stream would put what old runs were trained on into the validation split."""
    assert load_pairs("reverse").hash.startswith("229aea9974b2")


pair_lists = st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.text("xy", min_size=1)), min_size=40)


@settings(max_examples=50)
@given(pairs=pair_lists, order=st.randoms())
def test_no_source_is_in_both_splits_whatever_the_order(pairs, order):
    try:
        train, validation = split(PairCorpus("some", pairs, determined=False), 0.3)
    except UserError:
        return
    assert not {source for source, _ in train} & {source for source, _ in validation}
    assert sorted(train + validation) == sorted(pairs)
    order.shuffle(pairs)
    assert split(PairCorpus("some", pairs, determined=False), 0.3) == (train, validation)


def test_the_splits_have_the_sizes_asked_for(dataset):
    assert len(dataset.validation) / reversal.PAIRS == pytest.approx(0.1, abs=0.01)
    assert len(dataset.train) + len(dataset.validation) == reversal.PAIRS


def test_a_batch_says_what_the_pair_says(dataset):
    decode, end = dataset.tokenizer.decode, dataset.boundary
    rows = np.array([3, 0, 8])
    batch = batch_of(dataset.train, rows, end)
    for index, row in enumerate(rows):
        source, target = dataset.train.texts[row]
        counted = {name: batch[name][index][batch[f"{'source_' * (name == 'source')}mask"][index] > 0] for name in
                   ("tokens", "targets", "source")}  # fmt: skip
        assert decode(counted["source"]) == source + "\n"
        assert decode(counted["tokens"]) == "\n" + target
        assert decode(counted["targets"]) == target + "\n"
    assert {name: (leaf.shape, leaf.dtype.name) for name, leaf in batch.items()} == {
        "tokens": ((3, WINDOW), "int32"),
        "targets": ((3, WINDOW), "int32"),
        "source": ((3, WINDOW), "int32"),
        "mask": ((3, WINDOW), "float32"),
        "source_mask": ((3, WINDOW), "float32"),
    }


def test_an_epoch_visits_every_pair_once_in_an_order_of_its_own(dataset):
    batches, size = PairBatches(dataset.validation, dataset.boundary, 50), len(dataset.validation)
    rows = np.concatenate([batches(1, step)["source"] for step in range(2 * size // 50 + 1)])
    first, second = rows[:size], rows[size : 2 * size]
    for epoch in (first, second):
        assert len(np.unique(epoch, axis=0)) == size
    assert np.any(first != second)
    np.testing.assert_array_equal(batches(1, 3)["tokens"], batches(1, 3)["tokens"])
    assert np.any(batches(1, 3)["tokens"] != batches(2, 3)["tokens"])


def test_a_sweep_counts_every_target_once(dataset):
    pairs = dataset.validation
    batches = list(pair_sweep(pairs, dataset.boundary, 100))
    assert {batch["tokens"].shape for batch in batches} == {(100, WINDOW)}
    assert sum(batch["mask"].sum() for batch in batches) == pairs.target_counts.sum()
    assert len(list(pair_sweep(pairs, dataset.boundary, 100, most=3))) == 3


def test_long_pairs_are_left_out_and_counted(tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{'a' * n}{letter}\t{letter}\n" for n in range(12) for letter in "bcdefgh"))
    data = DataConfig(corpus=str(path))
    found = prepare_pairs(data, 8)
    kept = len(found.train) + len(found.validation)
    assert kept == sum(n + 2 <= 8 for n in range(12) for _ in "bcdefgh")
    assert sum(found.dropped.values()) == 12 * 7 - kept
    assert found.hash != prepare_pairs(data, 9).hash
    longest = [max(map(len, validation_sources(data, found.tokenizer, window, 100))) for window in range(4, 11)]
    assert all(length < window for window, length in zip(range(4, 11), longest, strict=True))
    with pytest.raises(UserError, match=r"no pair of the corpus .* fits the window of 2 tokens: the shortest needs"):
        prepare_pairs(DataConfig(corpus=str(path), validation_fraction=0.9), 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\tb\nc\n", "line 2 of .* is no pair: write source<TAB>target"),
        ("a\t\n", "line 1 of .* is no pair"),
        ("a\tb\n", "is too short: its 1 sources"),
        ("", "is empty"),
    ],
)
def test_a_file_that_is_not_of_pairs_is_one_line(tmp_path: Path, content: str, said: str):
    path = tmp_path / "pairs.tsv"
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        prepare_pairs(DataConfig(corpus=str(path)), 8)


def test_a_file_may_have_windows_line_ends_and_an_attribution(tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"Go.\tVa !\tCC-BY 2.0\r\nRun!\tCours !\tCC-BY 2.0\r\n")
    assert load_pairs(str(path)).pairs == [("Go.", "Va !"), ("Run!", "Cours !")]


def test_an_unknown_corpus_is_named_with_its_neighbour():
    with pytest.raises(UserError, match=r"'revers' \(did you mean 'reverse'\?\): an encoder-decoder reads pairs"):
        load_pairs("revers")
    with pytest.raises(UserError, match="--from-file is for the corpus fra_eng, not for reverse"):
        load_pairs("reverse", Path("some.txt"))


def test_fra_eng_says_the_two_ways_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAXDEC_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"Two ways: put .*fra\.txt .* or give a copy with --from-file PATH"):
        load_pairs("fra_eng")
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("Go.\tVa !\n")
    with pytest.raises(UserError, match="is not fra_eng: it has 9 bytes"):
        load_pairs("fra_eng", wrong)
    assert not (tmp_path / "fra_eng").exists()
    (tmp_path / "fra_eng").mkdir()
    wrong.rename(tmp_path / "fra_eng" / "fra.txt")
    with pytest.raises(UserError, match="expected is 0054ea"):
        load_pairs("fra_eng")


def test_fra_eng_is_the_file_that_its_checksum_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = Path(os.environ.get("JAXDEC_DATA_DIR", "")) / "fra_eng" / "fra.txt"
    if not real.is_file():
        pytest.skip("fra_eng is not in $JAXDEC_DATA_DIR")
    monkeypatch.setenv("JAXDEC_DATA_DIR", str(tmp_path))
    corpus = load_pairs("fra_eng", real)
    assert (len(corpus.pairs), corpus.pairs[0]) == (76_037, ("Go.", "Va !"))
    assert (tmp_path / "fra_eng" / "fra.txt").stat().st_size == fra_eng.SIZE
    train, validation = split(corpus, 0.1)
    assert not {source for source, _ in train} & {source for source, _ in validation}
    assert len(validation) / len(corpus.pairs) == pytest.approx(0.1, abs=0.01)
