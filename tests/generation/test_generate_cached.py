"""Cached, batched, padded decoding against a loop that has neither cache nor batch nor pads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxdec.config.documents import Separate
from jaxdec.config.parts import Full, Local
from jaxdec.config.run import Precision
from jaxdec.generation import decoding
from jaxdec.generation.decoding import Decoding, window_size
from jaxdec.generation.generate import generate, stream
from jaxdec.generation.sampling import Sampling
from jaxdec.models.functional import Model, Params
from tests.wordy import FREE, GREEDY, KEY, PROMPTS, VOCAB, double, make

Seen = dict[tuple[int, int], np.ndarray]  # (row, tokens before) -> logits [V]


@partial(jax.jit, static_argnums=0)
def last_logits(model: Model, params: Params, window: jax.Array) -> jax.Array:
    return model.apply(params, window[None]).logits_BTV[0, -1]


def uncached(model: Model, params: Params, prompt: list[int], steps: int) -> tuple[list[int], list[np.ndarray]]:
    """Greedy tokens and their logits, row by row, from the whole explicit window for every token."""
    context, window = model.config.context, []

    def push(token: int) -> None:
        window.append(token)
        if len(window) > context:
            del window[: -max(1, context // 2)]

    for token in prompt:
        push(token)
    tokens, logits = [], []
    for _ in range(steps):
        logits.append(np.asarray(last_logits(model, params, jnp.array(window))))
        tokens.append(int(logits[-1].argmax()))
        push(tokens[-1])
    return tokens, logits


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """The logits that the compiled loop draws from: (row, tokens before) -> [V]. Filled while generating."""
    logits: Seen = {}

    def record(bytes_BVN: np.ndarray, index_B: np.ndarray, *, dtype: np.dtype) -> None:
        rows = np.ascontiguousarray(bytes_BVN).view(dtype)[..., 0]
        logits.update({(row, int(index)): rows[row] for row, index in enumerate(index_B)})

    draw = decoding.sample

    def recorded(logits_BV: jax.Array, key: jax.Array, index_B: jax.Array, sampling: Sampling) -> jax.Array:
        # As bytes: callbacks run in a thread of their own, where float64 is off.
        bytes_BVN = jax.lax.bitcast_convert_type(logits_BV, jnp.uint8)
        jax.debug.callback(partial(record, dtype=logits_BV.dtype), bytes_BVN, index_B)
        return draw(logits_BV, key, index_B, sampling)

    monkeypatch.setattr(decoding, "sample", recorded)
    decoding.decode.clear_cache()  # type: ignore[attr-defined]
    yield logits
    decoding.decode.clear_cache()  # type: ignore[attr-defined]


def worst_error(seen: Seen, prompts: list[list[int]], expected: list[list[np.ndarray]]) -> float:
    """The largest relative (Frobenius) error of any row at any step."""
    jax.effects_barrier()
    errors = []
    for row, (prompt, rows) in enumerate(zip(prompts, expected, strict=True)):
        for step, logits in enumerate(rows):
            difference = seen[row, len(prompt) + step] - logits
            errors.append(np.linalg.norm(difference) / np.linalg.norm(logits))
    return max(errors)


def test_cached_equals_uncached_in_float64(seen: Seen) -> None:
    # 60 steps at context 6: rows re-read their windows at different times, and the cache runs out of slots twice.
    with jax.enable_x64(True):
        model, params = double(context=6)
        expected = [uncached(model, params, prompt, 60) for prompt in PROMPTS]
        got = generate(model, params, PROMPTS, max_tokens=60, sampling=GREEDY, key=KEY)
        error = worst_error(seen, PROMPTS, [logits for _, logits in expected])
    assert [row.tolist() for row in got] == [tokens for tokens, _ in expected]
    assert all(len(set(tokens)) > 2 for tokens, _ in expected)  # else agreement would be cheap
    assert error <= 1e-11


def test_separate_documents_are_continued_as_without_a_cache(seen: Seen) -> None:
    """Prompts of several documents, their windows read again in the middle of one; new ones begin on the way."""
    with jax.enable_x64(True):
        model, params = double(context=6, documents=Separate(6), attention=(Local(window=3), Full()))
        expected = [uncached(model, params, prompt, 40) for prompt in PROMPTS]
        got = generate(model, params, PROMPTS, max_tokens=40, sampling=GREEDY, key=KEY)
        error = worst_error(seen, PROMPTS, [logits for _, logits in expected])
    assert [row.tolist() for row in got] == [tokens for tokens, _ in expected]
    assert sum(6 in tokens for tokens, _ in expected) >= 4  # they begin documents themselves
    assert error <= 1e-11


@settings(deadline=None, max_examples=10)
@given(
    context=st.sampled_from([1, 2, 5]),
    prompts=st.lists(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=12), min_size=3, max_size=3),
    steps=st.integers(1, 50),
)
@example(context=1, prompts=[[1], [2, 3], [4]], steps=40)
@example(context=5, prompts=[[1], [2, 3, 4, 5, 6], [4] * 6], steps=50)
def test_any_small_context_any_lengths(context: int, prompts: list[list[int]], steps: int) -> None:
    with jax.enable_x64(True):
        model, params = double(context=context, layers=1)
        got = generate(model, params, prompts, max_tokens=steps, sampling=GREEDY, key=KEY)
        assert [row.tolist() for row in got] == [uncached(model, params, prompt, steps)[0] for prompt in prompts]


@pytest.mark.parametrize(("compute", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_low_precision_stays_close(seen: Seen, compute: str, tolerance: float) -> None:
    model, params = make(Precision("float32", compute), context=4, layers=1)  # type: ignore[arg-type]
    got = generate(model, params, PROMPTS, max_tokens=20, sampling=FREE, key=KEY)
    # The reference is led along the tokens that were drawn.
    expected = [
        [uncached(model, params, prompt + row[:step].tolist(), 1)[1][0] for step in range(20)]
        for prompt, row in zip(PROMPTS, got, strict=True)
    ]
    assert worst_error(seen, PROMPTS, expected) <= tolerance


def test_pads_leave_no_nan_in_the_cache() -> None:
    model, params = make(Precision())
    prompts = [np.array(prompt) for prompt in PROMPTS]
    rows = Decoding(model, params, prompts, sampling=GREEDY, key=KEY, stop=None, vocab_size=VOCAB)
    for _ in range(12):
        rows.advance(4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(rows.cache))


@pytest.mark.parametrize("context", [1, 2, 3, 7, 8])
def test_window_is_what_feeding_one_by_one_leaves(context: int) -> None:
    size = 0
    for tokens in range(1, 5 * context + 3):
        size = size + 1 if size < context else max(1, context // 2)
        assert window_size(tokens, context) == size


def test_prompt_lengths_and_chunks_share_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[tuple[int, ...]] = []
    apply = Model.apply

    def counted(self: Model, params: Params, tokens: jax.Array, **rest: jax.Array) -> object:
        traced.append(tokens.shape)
        return apply(self, params, tokens, **rest)  # type: ignore[arg-type]

    model, params = make(Precision(), context=100, layers=1)
    monkeypatch.setattr(Model, "apply", counted)

    def run(lengths: tuple[int, ...], chunk: int, steps: int) -> set[tuple[int, ...]]:
        traced.clear()
        list(stream(model, params, [[1] * n for n in lengths], max_tokens=steps, sampling=GREEDY, key=KEY, chunk=chunk))
        return set(traced)

    assert run((18, 3), 4, 9) == {(2, 32), (2, 1)}
    assert run((33, 30), 7, 20) == run((2, 25), 1, 3) == set()
    assert run((34, 100), 7, 5) == {(2, 100), (1, 64)}  # the row of 100 tokens re-reads 50
    assert run((50, 70), 5, 20) == run((500, 51), 5, 20) == set()
    assert run((100, 100, 100, 9, 9), 5, 5) == {(5, 100), (5, 1), (4, 64)}  # numbers of rows are rounded up too
    assert run((100, 9, 100, 100, 100), 5, 5) == set()
