"""Cached, batched, padded decoding against a loop that has neither cache nor batch nor pads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxdec import decoding
from jaxdec.config import ModelConfig, Precision
from jaxdec.decoding import Decoding, window_size
from jaxdec.errors import UserError
from jaxdec.generate import generate, stream
from jaxdec.models.functional import Model, Params
from jaxdec.sampling import Sampling

VOCAB = 11
GREEDY = Sampling(temperature=0)
FREE = Sampling(temperature=0.7)
KEY = jax.random.key(0)
PROMPTS = [[3], [1, 2, 3], list(range(8)), [5, 4, 3, 2, 1, 0, 1, 2, 3], [(7 * place) % VOCAB for place in range(21)]]


def make(context: int, precision: Precision, layers: int = 2) -> tuple[Model, Params]:
    """A model with large random weights, biases included, so that every token of the window moves the logits."""
    config = ModelConfig(layers=layers, heads=2, width=16, context=context, vocab_size=VOCAB, tied_head=False)
    model = Model(config, precision)
    params = model.init(jax.random.key(1))
    keys = jax.random.split(jax.random.key(3), len(params))
    noise = (0.3 * jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, params.values(), strict=True))
    return model, {name: leaf + part for (name, leaf), part in zip(params.items(), noise, strict=True)}


def double(context: int, layers: int = 2) -> tuple[Model, Params]:
    return make(context, Precision("float64", "float64"), layers)


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
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[tuple[int, int], np.ndarray]]:
    """The logits that the compiled loop draws from: (row, tokens before) -> [V]. Filled while generating."""
    logits: dict[tuple[int, int], np.ndarray] = {}

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
    decoding.decode.clear_cache()
    yield logits
    decoding.decode.clear_cache()


def worst_error(seen: dict[tuple[int, int], np.ndarray], prompts: list[list[int]], expected: list[list[np.ndarray]]) -> float:
    """The largest relative (Frobenius) error of any row at any step."""
    jax.effects_barrier()
    errors = []
    for row, (prompt, rows) in enumerate(zip(prompts, expected, strict=True)):
        for step, logits in enumerate(rows):
            difference = seen[row, len(prompt) + step] - logits
            errors.append(np.linalg.norm(difference) / np.linalg.norm(logits))
    return max(errors)


def test_cached_equals_uncached_in_float64(seen: dict[tuple[int, int], np.ndarray]) -> None:
    # 60 steps at context 6: rows re-read their windows at different times, and the cache runs out of slots twice.
    with jax.enable_x64(True):
        model, params = double(context=6)
        expected = [uncached(model, params, prompt, 60) for prompt in PROMPTS]
        got = generate(model, params, PROMPTS, max_tokens=60, sampling=GREEDY, key=KEY)
        error = worst_error(seen, PROMPTS, [logits for _, logits in expected])
    assert [row.tolist() for row in got] == [tokens for tokens, _ in expected]
    assert all(len(set(tokens)) > 2 for tokens, _ in expected)  # else agreement would be cheap
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
        model, params = double(context, layers=1)
        got = generate(model, params, prompts, max_tokens=steps, sampling=GREEDY, key=KEY)
        assert [row.tolist() for row in got] == [uncached(model, params, prompt, steps)[0] for prompt in prompts]


@pytest.mark.parametrize(("compute", "bar"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_low_precision_stays_close(seen: dict[tuple[int, int], np.ndarray], compute: str, bar: float) -> None:
    model, params = make(4, Precision("float32", compute), layers=1)  # type: ignore[arg-type]
    got = generate(model, params, PROMPTS, max_tokens=20, sampling=GREEDY, key=KEY)
    # The reference is led along the tokens that were drawn: a near tie may fall either way.
    expected = [
        [uncached(model, params, prompt + row[:step].tolist(), 1)[1][0] for step in range(20)]
        for prompt, row in zip(PROMPTS, got, strict=True)
    ]
    assert worst_error(seen, PROMPTS, expected) <= bar


def test_pads_leave_no_nan_in_the_cache() -> None:
    model, params = make(8, Precision())
    rows = Decoding(model, params, [np.array(p) for p in PROMPTS], sampling=GREEDY, key=KEY, stop=None, vocab_size=VOCAB)
    for _ in range(12):
        rows.advance(4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(rows.cache))


@pytest.mark.parametrize("context", [1, 2, 3, 7, 8])
def test_window_is_what_feeding_one_by_one_leaves(context: int) -> None:
    size = 0
    for tokens in range(1, 5 * context + 3):
        size = size + 1 if size < context else max(1, context // 2)
        assert window_size(tokens, context) == size


@pytest.mark.parametrize("sampling", [GREEDY, FREE], ids=["greedy", "sampled"])
def test_chunks_do_not_change_the_tokens(sampling: Sampling) -> None:
    model, params = make(8, Precision())
    whole = generate(model, params, PROMPTS, max_tokens=30, sampling=sampling, key=KEY)
    for chunk in (1, 3, 64):
        pieces = list(stream(model, params, PROMPTS, max_tokens=30, sampling=sampling, key=KEY, chunk=chunk))
        assert all(1 <= len(row) <= chunk for piece in pieces for row in piece)
        for row, parts in enumerate(zip(*pieces, strict=True)):
            np.testing.assert_array_equal(np.concatenate(parts), whole[row])


def test_a_row_does_not_depend_on_the_others() -> None:
    with jax.enable_x64(True):
        model, params = double(context=8)
        draw = partial(generate, model, params, max_tokens=40, sampling=FREE, key=KEY)
        batch = draw(PROMPTS)
        others = draw([[9] * 17, *PROMPTS[1:3], [0, 1], PROMPTS[4], [4, 4]])
    for row in (1, 2, 4):
        np.testing.assert_array_equal(others[row], batch[row])
    assert (others[0] != batch[0]).any()


def test_equal_prompts_and_other_keys_give_other_samples() -> None:
    model, params = make(8, Precision())
    first, second = generate(model, params, [[1, 2]] * 2, max_tokens=20, sampling=FREE, key=KEY)
    again, _ = generate(model, params, [[1, 2]] * 2, max_tokens=20, sampling=FREE, key=KEY)
    other, _ = generate(model, params, [[1, 2]] * 2, max_tokens=20, sampling=FREE, key=jax.random.key(1))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert (first != other).any()


@pytest.mark.parametrize("cut", [1, 13, 29])
def test_a_sample_given_back_as_a_prompt_goes_on_the_same_way(cut: int) -> None:
    with jax.enable_x64(True):
        model, params = double(context=8)
        draw = partial(generate, model, params, sampling=FREE, key=KEY)
        whole = draw(PROMPTS, max_tokens=30)
        longer = [prompt + row[:cut].tolist() for prompt, row in zip(PROMPTS, whole, strict=True)]
        rest = draw(longer, max_tokens=30 - cut)
    for row, part in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(part, row[cut:])


def before(row: np.ndarray, stop: int) -> list[int]:
    tokens = row.tolist()
    return tokens[: tokens.index(stop)] if stop in tokens else tokens


def test_stop_token_ends_its_row_alone() -> None:
    with jax.enable_x64(True):
        model, params = double(context=8)
        draw = partial(generate, model, params, PROMPTS, max_tokens=60, sampling=FREE, key=KEY)
        whole = draw()
        lengths = []
        for stop in range(VOCAB):
            expected = [before(row, stop) for row in whole]
            assert [row.tolist() for row in draw(stop=stop)] == expected
            lengths.append(sorted(len(row) for row in expected))
    # An ended row waits while others pass the context, and while the cache is moved.
    assert any(ordered[0] < 8 and ordered[-2] > 40 for ordered in lengths)


def test_the_loop_ends_when_every_row_has_stopped() -> None:
    model, params = make(64, Precision())
    prompts = [np.array(prompt) for prompt in PROMPTS]
    make_rows = partial(Decoding, model, params, prompts, sampling=Sampling(temperature=30), key=KEY, vocab_size=2)
    _, drawn = make_rows(stop=None).advance(40)
    rows = make_rows(stop=1)
    steps, new = rows.advance(40)
    assert [row.tolist() for row in new] == [before(row, 1) for row in drawn]
    assert steps == 1 + max(len(row) for row in new) < 40
    assert not rows.live_B.any()


def test_ids_that_pad_the_vocabulary_are_never_drawn() -> None:
    model, params = make(8, Precision())
    draw = partial(generate, model, params, PROMPTS, max_tokens=40, key=KEY)
    assert max(row.max() for row in draw(sampling=GREEDY)) > 4
    for sampling in (GREEDY, Sampling(temperature=9)):
        assert max(row.max() for row in draw(sampling=sampling, vocab_size=4)) < 4


def test_prompt_lengths_and_chunks_share_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[tuple[int, ...]] = []
    apply = Model.apply

    def counted(self: Model, params: Params, tokens: jax.Array, **rest: jax.Array) -> object:
        traced.append(tokens.shape)
        return apply(self, params, tokens, **rest)  # type: ignore[arg-type]

    model, params = make(100, Precision(), layers=1)
    monkeypatch.setattr(Model, "apply", counted)

    def run(lengths: tuple[int, int], chunk: int, steps: int) -> set[tuple[int, ...]]:
        traced.clear()
        list(stream(model, params, [[1] * n for n in lengths], max_tokens=steps, sampling=GREEDY, key=KEY, chunk=chunk))
        return set(traced)

    assert run((18, 3), 4, 9) == {(2, 32), (2, 1)}
    assert run((33, 30), 7, 20) == run((2, 25), 1, 3) == set()
    assert run((34, 100), 7, 5) == {(2, 100), (1, 64)}  # the row of 100 tokens re-reads 50
    assert run((50, 70), 5, 20) == run((500, 51), 5, 20) == set()


def test_nothing_to_do() -> None:
    model, params = make(8, Precision())
    assert generate(model, params, [], max_tokens=5, sampling=GREEDY, key=KEY) == []
    assert [row.size for row in generate(model, params, [[1], [2]], max_tokens=0, sampling=GREEDY, key=KEY)] == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": [[1], []]}, "prompt 1 has no token"),
        ({"prompts": [[1, VOCAB]]}, f"prompt 0 holds token {VOCAB}: the model's vocabulary has {VOCAB} tokens"),
        ({"prompts": [[-1]]}, "prompt 0 holds token -1"),
        ({"max_tokens": -1}, "max-tokens is -1: give 0 or more"),
        ({"chunk": 0}, "chunk is 0: give a whole number from 1"),
    ],
)
def test_wrong_input_is_named_at_the_call(change: dict[str, object], message: str) -> None:
    model, params = make(8, Precision())
    arguments = {"prompts": [[1]], "max_tokens": 1, "sampling": GREEDY, "key": KEY} | change
    call: Callable[..., object] = stream
    with pytest.raises(UserError) as error:
        call(model, params, **arguments)
    assert message in str(error.value)
