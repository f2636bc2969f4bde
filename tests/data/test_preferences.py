"""Pairs of answers as batches: what counts, what is left out, and the order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdec.config.decoder import DecoderConfig
from jaxdec.config.instruct import Phi3
from jaxdec.config.preference import Preference
from jaxdec.config.run import DataConfig, RunConfig, TrainConfig
from jaxdec.config.tokenizers import BPE
from jaxdec.data.preferences import PreferenceBatches, PreferenceDataset, prepare_preferences
from jaxdec.errors import UserError

RECORDS: list[dict[str, str]] = [
    {"instruction": f"Number {number}?", "input": "", "chosen": f"It is {number}.", "rejected": "No."}
    for number in range(10)
]
EQUAL = {"prompt": "Same?", "chosen": "Yes.", "rejected": "Yes."}
LONG = {"prompt": "Long?", "chosen": "It is " + "very " * 40 + "long.", "rejected": "No."}


def prepared(folder: Path, records: list[dict[str, str]], **stage: Any) -> PreferenceDataset:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    settings: dict[str, Any] = {"template": Phi3(), "split_seed": None} | stage
    return prepare_preferences(
        RunConfig(
            model=DecoderConfig(layers=1, heads=2, width=16, context=96),
            data=DataConfig(str(path), BPE(257)),
            stage=Preference(**settings),
            train=TrainConfig(tokens_per_step=4 * 2 * 96),
        ).check()
    )


def test_a_batch_holds_whole_pairs_whose_answers_count(tmp_path: Path) -> None:
    data = prepared(tmp_path, RECORDS)
    pairs, decode = data.splits["training"], data.tokenizer.decode
    batch = PreferenceBatches(pairs, 4)(seed=0, step=0)
    assert batch["tokens"].shape == batch["targets"].shape == batch["mask"].shape == (4, 2, pairs.length)
    assert pairs.length % 32 == 0 and pairs.length <= 96
    for tokens, targets, mask in zip(*(batch[name] for name in ("tokens", "targets", "mask")), strict=True):
        prompts = [decode(row[: int(np.argmax(counts)) + 1][1:]) for row, counts in zip(tokens, mask, strict=True)]
        chosen, rejected = (decode(row[counts == 1]) for row, counts in zip(targets, mask, strict=True))
        assert prompts[0] == prompts[1] and prompts[0].startswith("<|user|>\nNumber ")
        assert chosen == f"It is {prompts[0][16]}.<|endoftext|>" and rejected == "No.<|endoftext|>"


def test_an_epoch_visits_every_pair_once_whatever_was_asked_before(tmp_path: Path) -> None:
    pairs = prepared(tmp_path, RECORDS).splits["training"]
    batches = PreferenceBatches(pairs, 2)
    seen = [batches(3, step)["targets"][:, 0] for step in range(len(pairs) // 2)]
    assert len({row.tobytes() for rows in seen for row in rows}) == len(pairs) == 8
    assert np.array_equal(batches(3, 1)["targets"][:, 0], seen[1])
    assert sum(len(batch["tokens"]) for batch in pairs.sweep(3)) == 9, "the last batch is filled up"


def test_what_does_not_fit_is_left_out_or_cut_and_counted(tmp_path: Path) -> None:
    data = prepared(tmp_path, [LONG, EQUAL, *RECORDS])
    assert list(data.left_out.values()) == [1, 1, 0]
    assert sum(map(len, data.splits.values())) == 10
    cut = prepared(tmp_path, [LONG, EQUAL, *RECORDS], too_long="cut")
    assert list(cut.left_out.values()) == [1, 0, 1] and cut.hash != data.hash
    (long, short), length = cut.splits["training"].entries[0], cut.splits["training"].length
    assert len(long.ids) == 97 and not long.whole and short.whole and length == 96
    assert cut.splits["training"].batch(np.array([0]))["mask"][0, 0].sum() == 96 - (long.start - 1)


def test_answers_that_differ_behind_the_cut_say_nothing(tmp_path: Path) -> None:
    alike = {"prompt": "Long?", "chosen": "very " * 40 + "good", "rejected": "very " * 40 + "bad"}
    assert list(prepared(tmp_path, [alike, *RECORDS], too_long="cut").left_out.values()) == [0, 1, 0]


def test_the_embedded_pairs_can_be_read() -> None:
    config = RunConfig(
        model=DecoderConfig(layers=1, heads=2, width=16, context=512),
        data=DataConfig("embedded", BPE(300)),
        stage=Preference(),
        train=TrainConfig(tokens_per_step=2 * 512),
    )
    data = prepare_preferences(config)
    assert [len(pairs) for pairs in data.splits.values()] == [182, 23, 23] and not any(data.left_out.values())


def test_a_setting_that_means_nothing_is_refused(tmp_path: Path) -> None:
    config = RunConfig(
        model=DecoderConfig(layers=1, heads=2, width=16, context=64),
        data=DataConfig("embedded", BPE(300), text_field="text"),
        stage=Preference(),
    )
    with pytest.raises(UserError, match=r"data\.text_field means nothing to pairs of answers"):
        prepare_preferences(config)
