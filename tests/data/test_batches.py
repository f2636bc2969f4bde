"""Batches: each window once an epoch, each target once a sweep, and nothing that depends on the order of the calls."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.data.batches import Windows, context_counts, random_batch, sweep
from jaxdec.errors import UserError

# What (seed 1337, step or index 0) gives with 1,000 tokens, windows of 16 and batches of 4.
FIRST_STARTS = [171, 283, 315, 363]
FIRST_OFFSETS = [927, 462, 171, 215]

SHAPES = st.tuples(st.integers(1, 24), st.integers(0, 300), st.integers(1, 9))  # window, tokens beyond one, batch size


def numbered(length: int) -> np.ndarray:
    """Tokens that are their own position."""
    return np.arange(length, dtype=np.uint16)


def windows_of(shape: tuple[int, int, int]) -> Windows:
    window, more, batch_size = shape
    return Windows(numbered(window + 1 + more), window, batch_size)


@given(SHAPES, st.integers(0, 2**31 - 1), st.integers(0, 3))
def test_an_epoch_holds_every_window_once(shape, seed, epoch):
    windows = windows_of(shape)
    first, last = epoch * windows.per_epoch, (epoch + 1) * windows.per_epoch
    steps = range(first // windows.batch_size, -(-last // windows.batch_size))
    stream = np.concatenate([windows(seed, step)["tokens"][:, 0] for step in steps])
    starts = np.sort(stream[first - steps[0] * windows.batch_size :][: windows.per_epoch])
    assert (np.diff(starts) == windows.window).all()  # side by side: no gap, no overlap, none twice
    assert len(starts) == windows.per_epoch
    unused = len(windows.tokens) - 1 - windows.window * windows.per_epoch
    assert unused < 2 * windows.window  # at most a window's length lost at either end


@given(SHAPES, st.integers(0, 2**31 - 1), st.integers(0, 3), st.data())
def test_overlapping_windows_are_each_visited_once_too(shape, seed, epoch, data):
    window, more, batch_size = shape
    stride = data.draw(st.integers(1, window))
    windows = Windows(numbered(window + 1 + more), window, batch_size, stride)
    first = epoch * windows.per_epoch
    steps = range(first // batch_size, -(-(first + windows.per_epoch) // batch_size))
    stream = np.concatenate([windows.starts(seed, step) for step in steps])
    starts = np.sort(stream[first - steps[0] * batch_size :][: windows.per_epoch])
    assert (np.diff(starts) == stride).all()
    assert 0 <= starts[0] < stride
    assert len(windows.tokens) - 2 * stride - window <= starts[-1] < len(windows.tokens) - window  # the last fits
    again = Windows(windows.tokens, window, batch_size, stride)(seed, steps[-1])  # any step alone
    assert (again["tokens"] == windows(seed, steps[-1])["tokens"]).all()
    assert (again["targets"] == again["tokens"] + 1).all()


@given(SHAPES, st.integers(0, 2**31 - 1), st.integers(0, 50))
def test_a_stride_of_the_window_is_none(shape, seed, step):
    windows = windows_of(shape)
    same = Windows(windows.tokens, windows.window, windows.batch_size, windows.window)
    assert (same.starts(seed, step) == windows.starts(seed, step)).all()


@given(SHAPES, st.integers(0, 2**31 - 1), st.lists(st.integers(0, 50), min_size=1, max_size=8))
def test_any_step_is_computed_alone_and_in_any_order(shape, seed, steps):
    in_order = {step: windows_of(shape)(seed, step) for step in range(51)}
    alone = windows_of(shape)
    for step in steps:
        batch = alone(seed, step)
        assert all((batch[name] == in_order[step][name]).all() for name in batch)


@given(SHAPES, st.integers(0, 2**31 - 1), st.integers(0, 1000))
def test_a_batch_has_the_contract_s_form(shape, seed, step):
    window, _, batch_size = shape
    for batch in (
        windows_of(shape)(seed, step),
        random_batch(windows_of(shape).tokens, window, batch_size, seed, step),
    ):
        assert {name: (array.dtype, array.shape) for name, array in batch.items()} == {
            "tokens": (np.int32, (batch_size, window)),
            "targets": (np.int32, (batch_size, window)),
            "mask": (np.float32, (batch_size, window)),
        }
        assert (batch["targets"] == batch["tokens"] + 1).all()  # of numbered tokens the next one is one more
        assert (np.diff(batch["tokens"], axis=1) == 1).all()
        assert (batch["mask"] == 1).all()


def test_epochs_differ_in_order_and_in_the_first_cut():
    windows = Windows(numbered(1000), 16, windows_per_epoch := (1000 - 16) // 16)
    assert windows.per_epoch == windows_per_epoch
    starts = [windows(1, epoch)["tokens"][:, 0] for epoch in range(8)]
    assert len({tuple(epoch) for epoch in starts}) == 8
    assert len({int(epoch.min()) for epoch in starts}) > 3
    assert (windows(2, 0)["tokens"] != windows(1, 0)["tokens"]).any()


def test_the_stream_of_batches_is_kept():
    # A resumed run must see what the interrupted one would have seen, whatever the version of numpy.
    windows = Windows(numbered(1000), 16, 4)
    assert windows(1337, 0)["tokens"][:, 0].tolist() == FIRST_STARTS
    assert random_batch(numbered(1000), 16, 4, 1337, 0)["tokens"][:, 0].tolist() == FIRST_OFFSETS


def test_random_batches_reach_both_ends_and_differ():
    batches = [random_batch(numbered(20), 16, 64, 5, index)["tokens"][:, 0] for index in range(2)]
    assert set(batches[0].tolist()) == {0, 1, 2, 3}  # 20 tokens hold the windows that start at 0 to 3
    assert (batches[0] != batches[1]).any()


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[int, int, int, int]:
    window = draw(st.integers(1, 24))
    return draw(st.integers(window + 1, 300)), window, draw(st.integers(1, window)), draw(st.integers(1, 9))


@given(sweeps())
def test_a_sweep_scores_every_target_once(shape):
    length, window, stride, batch_size = shape
    batches = list(sweep(numbered(length), window, stride, batch_size))
    assert {batch["tokens"].shape for batch in batches} == {(batch_size, window)}
    scored = np.concatenate([batch["targets"][batch["mask"] == 1] for batch in batches])
    assert scored.tolist() == list(range(1, length))


@given(sweeps())
def test_context_counts_are_those_of_the_sweep(shape):
    length, window, stride, batch_size = shape
    counted: Counter[int] = Counter()
    for batch in sweep(numbered(length), window, stride, batch_size):
        seen = (
            batch["targets"] - batch["tokens"][:, :1]
        )  # a window that starts at 0 shows token 0 to target 1, and so on
        counted.update(seen[batch["mask"] == 1].tolist())
    assert context_counts(length, window, stride) == counted
    later = [context for context, targets in counted.items() if targets > 1]
    assert all(context > window - stride for context in later)  # only the first window has shallow targets, each once


def test_context_counts_are_quick_for_long_texts():
    counts = context_counts(10**7, 64, 32)
    assert sum(counts.values()) == 10**7 - 1
    assert min(counts) == 1
    assert max(counts) == 64


@pytest.mark.parametrize("length", [0, 1, 63, 64])
def test_a_split_shorter_than_a_window_is_named(length):
    message = f"a split of it has {length} tokens, a window of 64 needs 65"
    tokens = numbered(length)
    with pytest.raises(UserError, match=message):
        Windows(tokens, 64, 12)
    with pytest.raises(UserError, match=message):
        sweep(tokens, 64, 64, 12)
    with pytest.raises(UserError, match=message):
        random_batch(tokens, 64, 12, 0, 0)
    with pytest.raises(UserError, match=message):
        context_counts(length, 64, 64)


def test_one_window_is_enough():
    windows = Windows(numbered(65), 64, 3)
    assert (windows(0, 7)["tokens"] == np.arange(64)).all()
    assert len(list(sweep(numbered(65), 64, 32, 2))) == 1


@pytest.mark.parametrize("stride", [0, 65])
def test_a_stride_outside_the_window_is_refused(stride):
    with pytest.raises(UserError, match=f"stride of the sweep is {stride}"):
        sweep(numbered(100), 64, stride, 2)


@settings(max_examples=20)
@given(st.integers(0, 10))
def test_tokens_may_be_of_any_integer_type(step):
    wide = Windows(np.arange(200, dtype=np.uint32) + 70_000, 8, 4)(3, step)
    assert (wide["tokens"] == Windows(numbered(200), 8, 4)(3, step)["tokens"] + 70_000).all()
