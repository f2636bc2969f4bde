"""What `stream` and `generate` promise: chunks, rows, seeds, stop tokens, and wrong input."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from jaxdec.config.run import Precision
from jaxdec.errors import UserError
from jaxdec.generation.decoding import Decoding
from jaxdec.generation.generate import generate, stream
from jaxdec.generation.sampling import Sampling
from tests.wordy import FREE, GREEDY, KEY, PROMPTS, VOCAB, double, make


@pytest.mark.parametrize(
    ("context", "prompts", "sampling"),
    # In the second, slots run out while every row has positions left.
    [(8, PROMPTS, FREE), (40, [[3], [1] * 39], FREE), (8, PROMPTS, GREEDY)],
    ids=["sampled", "sampled, long context", "greedy"],
)
def test_chunks_do_not_change_the_tokens(context: int, prompts: list[list[int]], sampling: Sampling) -> None:
    model, params = make(Precision(), context=context)
    draw = partial(stream, model, params, prompts, max_tokens=60, sampling=sampling, key=KEY)
    whole = generate(model, params, prompts, max_tokens=60, sampling=sampling, key=KEY)
    for chunk in (1, 3, 64):
        pieces = list(draw(chunk=chunk))
        assert all(1 <= len(row) <= chunk for piece in pieces for row in piece)
        for row, parts in enumerate(zip(*pieces, strict=True)):
            np.testing.assert_array_equal(np.concatenate(parts), whole[row])


def test_a_row_does_not_depend_on_the_others() -> None:
    with jax.enable_x64(True):
        model, params = double()
        draw = partial(generate, model, params, max_tokens=40, sampling=FREE, key=KEY)
        batch = draw(PROMPTS)
        others = draw([[9] * 17, *PROMPTS[1:3], [0, 1], PROMPTS[4], [4, 4]])
    for row in (1, 2, 4):
        np.testing.assert_array_equal(others[row], batch[row])
    assert (others[0] != batch[0]).any()


def test_equal_prompts_and_other_keys_give_other_samples() -> None:
    model, params = make(Precision())
    first, second = generate(model, params, [[1, 2]] * 2, max_tokens=20, sampling=FREE, key=KEY)
    again, _ = generate(model, params, [[1, 2]] * 2, max_tokens=20, sampling=FREE, key=KEY)
    other, _ = generate(model, params, [[1, 2]] * 2, max_tokens=20, sampling=FREE, key=jax.random.key(1))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert (first != other).any()


@pytest.mark.parametrize("cut", [1, 13, 29])
def test_a_sample_given_back_as_a_prompt_goes_on_the_same_way(cut: int) -> None:
    with jax.enable_x64(True):
        model, params = double()
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
        model, params = double()
        draw = partial(generate, model, params, PROMPTS, max_tokens=60, sampling=FREE, key=KEY)
        whole = draw()
        lengths = []
        for stop in range(VOCAB):
            expected = [before(row, stop) for row in whole]
            assert [row.tolist() for row in draw(stop=stop)] == expected
            lengths.append(sorted(len(row) for row in expected))
    # An ended row waits while others pass the context, and while the cache is moved.
    assert any(ordered[0] < 8 and ordered[-1] > 40 for ordered in lengths)


def test_the_loop_ends_when_every_row_has_stopped() -> None:
    model, params = make(Precision(), context=64)
    prompts = [np.array(prompt) for prompt in PROMPTS]
    make_rows = partial(Decoding, model, params, prompts, sampling=Sampling(temperature=30), key=KEY, vocab_size=2)
    _, drawn = make_rows(stop=None).advance(40)
    rows = make_rows(stop=1)
    steps, new = rows.advance(40)
    assert [row.tolist() for row in new] == [before(row, 1) for row in drawn]
    assert steps == 1 + max(len(row) for row in new) < 40
    assert not rows.live_B.any()


def test_ids_that_pad_the_vocabulary_are_never_drawn() -> None:
    model, params = make(Precision())
    draw = partial(generate, model, params, PROMPTS, max_tokens=40, key=KEY)
    assert max(row.max() for row in draw(sampling=GREEDY)) > 4
    for sampling in (GREEDY, Sampling(temperature=9)):
        assert max(row.max() for row in draw(sampling=sampling, vocab_size=4)) < 4


def test_nothing_to_do() -> None:
    model, params = make(Precision())
    assert generate(model, params, [], max_tokens=5, sampling=GREEDY, key=KEY) == []
    assert [row.size for row in generate(model, params, [[1], [2]], max_tokens=0, sampling=GREEDY, key=KEY)] == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": [[1], []]}, "prompts[1] has no token"),
        ({"prompts": [[1, VOCAB]]}, "prompts[0] holds token 11: give ids from 0 to 10"),
        ({"prompts": [[-1]]}, "prompts[0] holds token -1"),
        ({"max_tokens": -1}, "max-tokens is -1: give 0 or more"),
        ({"chunk": 0}, "chunk is 0: give a whole number from 1"),
    ],
)
def test_wrong_input_is_named_at_the_call(change: dict[str, object], message: str) -> None:
    model, params = make(Precision())
    arguments: dict[str, Any] = {"prompts": [[1]], "max_tokens": 1, "sampling": GREEDY, "key": KEY} | change
    with pytest.raises(UserError) as error:
        stream(model, params, **arguments)
    assert message in str(error.value)
