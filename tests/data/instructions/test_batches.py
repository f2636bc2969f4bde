"""Batches of entries: which targets count, that every entry is met once, and that a dispatch has one length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jaxdec.config.instruct import Buckets, Packed
from jaxdec.data.instructions.batches import InstructionBatches, Row, batch_of, instruction_sweep, rows_of
from jaxdec.data.instructions.examples import Entry, Example, fit

END = 0


def entry(prompt: list[int], response: list[int], whole: bool = True) -> Entry:
    return Entry(Example("", "", "", ""), np.array([END, *prompt, *response], np.int32), 1 + len(prompt), whole)


def counted(batch: Any) -> list[list[tuple[int, int]]]:
    """(input, target) of each target that counts, row by row."""
    rows = zip(batch["tokens"], batch["targets"], batch["mask"] > 0, strict=True)
    return [list(zip(tokens[mask].tolist(), targets[mask].tolist(), strict=True)) for tokens, targets, mask in rows]


def random_entries(count: int) -> list[Entry]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 20, (count, 2))
    return [
        entry([1 + number] * int(a), [101 + number] * int(b)) for number, (a, b) in enumerate(sizes)
    ]  # names its entry


def test_the_response_and_its_end_count_and_nothing_else() -> None:
    one, two = entry([1, 2], [3, 4]), entry([5], [6])
    packed = batch_of([(one, two)], 10, END, prompt_counts=False)
    assert packed["tokens"].tolist() == [[0, 1, 2, 3, 4, 0, 5, 6, 0, 0]]
    assert counted(packed) == [[(2, 3), (3, 4), (4, 0), (5, 6), (6, 0)]]
    whole = batch_of([(one,), (two,)], 5, END, prompt_counts=True)
    assert counted(whole) == [[(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)], [(0, 5), (5, 6), (6, 0)]]
    assert counted(batch_of([(one,), (two,)], 5, END, prompt_counts=False, used=1))[1] == []


def test_an_entry_longer_than_the_window_is_left_out_or_loses_its_end() -> None:
    long = entry([1, 2], [3, 4, 5])
    assert fit(long, 6, "leave_out") is long
    assert fit(long, 5, "leave_out") is None
    cut = fit(long, 5, "cut")
    assert cut is not None and not cut.whole
    assert counted(batch_of([(cut,)], 5, END, prompt_counts=False)) == [[(2, 3), (3, 4), (4, 5)]]
    assert fit(long, 3, "cut") is None, "nothing of its response would be left"
    assert [len(row) for row in rows_of([cut, entry([1], [2])], Packed(), 5)] == [1, 1], "it fills its row"


@pytest.mark.parametrize("batching", [Buckets(multiple=8), Packed()], ids=lambda value: value.kind)
def test_an_epoch_meets_every_entry_once(batching: Any) -> None:
    entries = random_entries(53)
    rows = rows_of(entries, batching, 48)
    assert sorted(id(each) for row in rows for each in row) == sorted(map(id, entries))
    assert all(sum(len(each.ids) for each in row) <= 48 for row in rows)
    made = InstructionBatches(rows, batching, 48, END, 4, prompt_counts=False, steps_per_dispatch=5)
    for epoch in (0, 1):
        steps = [made(7, epoch * made.per_epoch + step) for step in range(made.per_epoch)]
        answers = [target for batch in steps for row in counted(batch) for _, target in row if target > 100]
        assert sorted(answers) == sorted(token for each in entries for token in each.ids.tolist() if token > 100)
    swept = list(instruction_sweep(rows, batching, 48, END, 4, prompt_counts=False))
    assert sum(batch["mask"].sum() for batch in swept) == sum(len(each.ids) - each.start + 1 for each in entries)


def test_a_dispatch_has_one_length_and_short_ones_are_short() -> None:
    made = InstructionBatches(
        rows_of(random_entries(400), Buckets(8), 48), Buckets(8), 48, END, 4, prompt_counts=False, steps_per_dispatch=5
    )
    lengths = [made(1, step)["tokens"].shape[1] for step in range(made.per_epoch)]
    assert all(len(set(lengths[first : first + 5])) == 1 for first in range(0, len(lengths), 5))
    assert set(lengths) <= set(range(8, 49, 8)) and len(set(lengths)) > 2
    again = InstructionBatches(made.rows, Buckets(8), 48, END, 4, prompt_counts=False, steps_per_dispatch=5)
    for step in (40, 3):  # in any order of calls
        for name, leaf in made(1, step).items():
            np.testing.assert_array_equal(leaf, again(1, step)[name])
    assert any(not np.array_equal(made(1, step)["tokens"], made(2, step)["tokens"]) for step in range(3))


def test_packing_leaves_little_room() -> None:
    entries = random_entries(300)
    rows: list[Row] = rows_of(entries, Packed(), 48)
    assert sum(len(each.ids) for each in entries) / (48 * len(rows)) > 0.95
