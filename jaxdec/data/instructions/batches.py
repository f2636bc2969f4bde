"""Entries as batches: rows of one entry in buckets of like length, or rows packed with several.

A row is a text of end token, entry, end token, entry, ..., end token, and then end tokens to its end. Inputs are its
tokens but the last, targets its tokens but the first; those behind the last entry do not count. Where entries share a
row, the end token of one begins the next, and `model.documents separate` keeps them apart.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from jaxdec.config.instruct import Batching, Buckets, Packed
from jaxdec.data.batches import Batch, draws, epoch_order
from jaxdec.data.instructions.examples import Entry
from jaxdec.errors import UserError

TOGETHER = 10  # batches of one epoch that follow each other because their lengths are alike

Row = tuple[Entry, ...]


def rows_of(entries: Sequence[Entry], batching: Batching, window: int) -> list[Row]:
    """The rows of all entries, the same at every call. Packing takes the longest entries first, each into the first row
    with room (Johnson 1973: at most 11/9 of the fewest rows)."""
    match batching:
        case Buckets():
            return [(entry,) for entry in entries]
        case Packed():
            rows: list[list[Entry]] = []
            room = np.zeros(len(entries), np.int64)
            for entry in sorted(entries, key=lambda entry: -len(entry.ids)):
                row = int(np.argmax(room[: len(rows)] >= len(entry.ids))) if rows else 0
                if not rows or room[row] < len(entry.ids):
                    rows.append([])
                    row = len(rows) - 1
                    room[row] = window
                rows[row].append(entry)
                room[row] -= len(entry.ids)
            return [tuple(row) for row in rows]
        case _:
            raise UserError(f"stage.batching is {batching!r}: give a value of a kind in jaxdec/config/instruct.py")


def padded_length(rows: Sequence[Row], batching: Batching, window: int) -> int:
    """How long the batch of these rows is."""
    if not isinstance(batching, Buckets):
        return window
    longest = max(sum(len(entry.ids) - (not entry.whole) for entry in row) for row in rows)
    return min(window, -(-longest // batching.multiple) * batching.multiple)


def batch_of(rows: Sequence[Row], length: int, end: int, *, prompt_counts: bool, used: int | None = None) -> Batch:
    """`tokens`, `targets` int32 [B, length], `mask` float32, 1 where a target counts; in rows from `used` on none
    does."""
    text = np.full((len(rows), length + 1), end, np.int32)
    mask = np.zeros((len(rows), length), np.float32)
    for number, row in enumerate(rows):
        at = 0
        for entry in row:
            text[number, at : at + len(entry.ids)] = entry.ids
            first, last = at + (0 if prompt_counts else entry.start - 1), at + len(entry.ids) - (not entry.whole)
            mask[number, first:last] = 1.0  # the target at t is the token at t + 1
            at += len(entry.ids)
    if used is not None:
        mask[used:] = 0.0
    return {"tokens": text[:, :-1].copy(), "targets": text[:, 1:].copy(), "mask": mask}


class InstructionBatches:
    """Training batches: each epoch visits every row once. Its last batch may repeat rows, of which no target counts.

    In buckets, rows are put in order of their padded length, rows of one length in an order drawn from (seed, epoch);
    so are the places of the batches, TOGETHER of which stay side by side. `steps_per_dispatch` steps are computed in
    one array, so that these have one length, that of the longest. It changes no loss but its rounding.
    """

    def __init__(
        self, rows: Sequence[Row], batching: Batching, window: int, end: int, batch_size: int,
        *, prompt_counts: bool, steps_per_dispatch: int,
    ) -> None:  # fmt: skip
        self.rows, self.batching, self.window, self.end, self.batch_size = rows, batching, window, end, batch_size
        self.prompt_counts, self.steps_per_dispatch = prompt_counts, steps_per_dispatch
        self.per_epoch = -(-len(rows) // batch_size)
        self.lengths = np.array([padded_length([row], batching, window) for row in rows])
        self.length = functools.lru_cache(maxsize=4)(self._length)
        self.epoch = functools.lru_cache(maxsize=2)(self._epoch)

    def __call__(self, seed: int, step: int) -> Batch:
        """The global batch of a step, on any process and in any order of calls."""
        index, used = self.chosen(seed, step)
        length = self.length(seed, step // self.steps_per_dispatch)
        rows = [self.rows[row] for row in index]
        return batch_of(rows, length, self.end, prompt_counts=self.prompt_counts, used=used)

    def chosen(self, seed: int, step: int) -> tuple[np.ndarray, int]:
        """The rows of a step, int64 [B], and how many of them count."""
        epoch, place = divmod(step, self.per_epoch)
        order, batches = self.epoch(seed, epoch)
        index = np.arange(batches[place] * self.batch_size, (batches[place] + 1) * self.batch_size)
        return order[index % len(self.rows)], min(self.batch_size, len(self.rows) - int(index[0]))

    def _epoch(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of the rows, and that in which their batches are visited."""
        order = epoch_order(seed, epoch, len(self.rows), 1)[1]
        groups = np.argsort(draws((seed, epoch, 2), -(-self.per_epoch // TOGETHER)), kind="stable")
        batches = [np.arange(g * TOGETHER, min((g + 1) * TOGETHER, self.per_epoch)) for g in groups.tolist()]
        return order[np.argsort(self.lengths[order], kind="stable")], np.concatenate(batches)

    def _length(self, seed: int, dispatch: int) -> int:
        steps = range(dispatch * self.steps_per_dispatch, (dispatch + 1) * self.steps_per_dispatch)
        return max(int(self.lengths[self.chosen(seed, step)[0]].max()) for step in steps)


def instruction_sweep(
    rows: Sequence[Row], batching: Batching, window: int, end: int, batch_size: int,
    *, prompt_counts: bool, most: int | None = None,
) -> Iterator[Batch]:  # fmt: skip
    """Every row once, the short ones first, at most `most` batches; rows that fill the last one up count no target."""
    ordered = sorted(rows, key=lambda row: padded_length([row], batching, window)) if most is None else list(rows)
    for first in list(range(0, len(ordered), batch_size))[:most]:
        chosen = ordered[first : first + batch_size]
        filled = chosen + chosen[:1] * (batch_size - len(chosen))
        length = padded_length(chosen, batching, window)
        yield batch_of(filled, length, end, prompt_counts=prompt_counts, used=len(chosen))
