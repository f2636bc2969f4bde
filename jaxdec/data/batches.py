"""Batches as pure functions: of (seed, step) in training, of (seed, index) in nanoGPT's protocol; and a sweep.

A batch is a dict of arrays with static shapes: `tokens` int32 [B, T], `targets` int32 [B, T] (the next tokens) and
`mask` float32 [B, T] (1 where the target counts). No loader has a state: a resumed run needs only the step.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxdec.errors import UserError

Batch = Mapping[str, Any]  # arrays by name: of numpy here, of JAX on devices and in traced functions


class Windows:
    """Training batches. Each epoch cuts the tokens into windows whose starts lie `stride` apart, and visits every one
    once. With a stride of the window (None) they do not overlap; with a smaller one an epoch meets a target in about
    window / stride of them, each time after another number of tokens.

    The order is a permutation drawn from (seed, epoch), and so is the place of the first cut, so that over the epochs
    every target is met at every depth of context. A batch that an epoch does not fill runs on into the next.
    """

    def __init__(self, tokens: np.ndarray, window: int, batch_size: int, stride: int | None = None) -> None:
        require_window(tokens, window)
        self.tokens, self.window, self.batch_size, self.stride = tokens, window, batch_size, stride or window
        # A window of T targets reads T + 1 tokens. All epochs have as many windows, wherever the first cut falls.
        self.per_epoch = max(1, (len(tokens) - window) // self.stride)
        self.shifts = min(self.stride, len(tokens) - window - self.stride * (self.per_epoch - 1))

    def starts(self, seed: int, step: int) -> np.ndarray:
        """int64 [B]: where the windows of a step begin."""
        index = step * self.batch_size + np.arange(self.batch_size)
        epoch, place = np.divmod(index, self.per_epoch)
        starts = np.empty(self.batch_size, np.int64)
        for current in np.unique(epoch).tolist():
            shift, order = epoch_order(seed, current, self.per_epoch, self.shifts)
            here = epoch == current
            starts[here] = shift + self.stride * order[place[here]]
        return starts

    def __call__(self, seed: int, step: int) -> Batch:
        """The global batch of a step, on any process and in any order of calls."""
        return _batch(self.tokens, self.starts(seed, step), self.window)


@functools.lru_cache(maxsize=2)  # two: a batch may lie across the end of an epoch
def epoch_order(seed: int, epoch: int, windows: int, shifts: int) -> tuple[int, np.ndarray]:
    """The shift of the first window, in [0, shifts), and the order of the windows (a permutation, int64).

    Made of raw 64-bit draws, whose stream numpy promises to keep; its `permutation` may change with a new version,
    and a run resumed under that would see some windows twice.
    """
    drawn = draws((seed, epoch), windows + 1)
    return int(drawn[-1] % shifts), np.argsort(drawn[:-1], kind="stable")


def epoch_rows(seed: int, step: int, rows: int, batch_size: int) -> np.ndarray:
    """int64 [B]: which of so many rows a step trains on. Each epoch visits every row once, in an order drawn from
    (seed, epoch); a batch that an epoch does not fill runs on into the next."""
    epoch, place = np.divmod(step * batch_size + np.arange(batch_size), rows)
    chosen = np.empty(batch_size, np.int64)
    for current in np.unique(epoch).tolist():
        here = epoch == current
        chosen[here] = epoch_order(seed, current, rows, 1)[1][place[here]]
    return chosen


def random_batch(tokens: np.ndarray, window: int, batch_size: int, seed: int, index: int) -> Batch:
    """nanoGPT's protocol: windows at uniform random offsets, drawn with replacement from (seed, index)."""
    require_window(tokens, window)
    offsets = draws((seed, index, 1), batch_size) % (len(tokens) - window)
    return _batch(tokens, offsets.astype(np.int64), window)


def sweep(tokens: np.ndarray, window: int, stride: int, batch_size: int) -> Iterator[Batch]:
    """Every target of the tokens once, in order. The first token is no target: nothing comes before it.

    The first window scores all its targets, a later one only those that no window before it has: the last `stride`,
    which see between window - stride + 1 and window tokens. The last window ends with the tokens, and the last
    batch is filled up with windows of mask 0.
    """
    starts, fresh = _sweep_windows(tokens, window, stride)

    def batches() -> Iterator[Batch]:
        for first in range(0, len(starts), batch_size):
            chosen, new = starts[first : first + batch_size], fresh[first : first + batch_size]
            padding = batch_size - len(chosen)
            batch = _batch(tokens, np.pad(chosen, (0, padding)), window)
            scored = np.arange(window) >= window - np.pad(new, (0, padding))[:, None]
            yield {**batch, "mask": scored.astype(np.float32)}

    return batches()


def context_counts(length: int, window: int, stride: int) -> dict[int, int]:
    """{tokens of context: targets that `sweep` scores with it} for `length` tokens: the weights of an exact floor."""
    _, fresh = _sweep_windows(np.broadcast_to(np.uint16(0), (length,)), window, stride)
    counts: Counter[int] = Counter()
    for new, times in Counter(fresh.tolist()).items():
        for context in range(window - new + 1, window + 1):
            counts[context] += times
    return dict(sorted(counts.items()))


def require_window(tokens: np.ndarray, window: int) -> None:
    """UserError where not one window fits."""
    if len(tokens) < window + 1:
        raise UserError(
            f"the corpus is too short: a split of it has {len(tokens)} tokens, a window of {window} needs "
            f"{window + 1}. Give a longer text or a smaller --data.window"
        )


def _sweep_windows(tokens: np.ndarray, window: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """The start of each window, and how many of its targets (its last ones) are new."""
    require_window(tokens, window)
    if not 1 <= stride <= window:
        raise UserError(f"the stride of the sweep is {stride}: give 1 to the window of {window} tokens")
    last = len(tokens) - 1 - window
    starts = np.append(np.arange(0, last, stride), last)
    return starts, np.append(window, np.diff(starts))


def _batch(tokens: np.ndarray, starts: np.ndarray, window: int) -> Batch:
    cut = np.asarray(tokens[starts[:, None] + np.arange(window + 1)], np.int32)
    return {
        "tokens": np.ascontiguousarray(cut[:, :-1]),
        "targets": np.ascontiguousarray(cut[:, 1:]),
        "mask": np.ones((len(starts), window), np.float32),
    }


def draws(entropy: tuple[int, ...], count: int) -> np.ndarray:
    """uint64 [count], uniform."""
    return np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count)
