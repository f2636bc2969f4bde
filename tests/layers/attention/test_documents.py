"""Documents that share a row and are kept apart: each is what it is alone, in logits, gradients and in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.documents import Joined, Separate
from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import AttentionPattern, Full
from jaxdec.config.positions import NoPosition, RoPE
from jaxdec.config.run import Precision
from jaxdec.errors import UserError
from jaxdec.layers.attention.cache import empty_cache
from jaxdec.layers.attention.documents import document_starts
from jaxdec.layers.attention.kernel import Mask, allowed
from jaxdec.models.functional import Model, Params
from jaxdec.training.losses import token_losses
from tests import tiny
from tests.variants import MODELS

DOUBLE = Precision("float64", "float64")
START, LENGTH, VOCAB = 5, 16, 37
ROW = np.array([[4, START, 1, 2, START, START, 7, 8]])

# Every position kind, every pattern, and mixtures of experts that drop nothing.
DECODERS: dict[str, DecoderConfig] = {
    name: config for name, config in MODELS.items() if isinstance(config, DecoderConfig)
}
DECODERS["no position"] = replace(DECODERS["gpt"], position=NoPosition())
DECODERS["moe, rotary, alibi"] = replace(
    DECODERS["moe-gpt"], position=RoPE(theta=100.0), attention=(Full(alibi=4.0), DECODERS["strided"].attention_of(0))
)
HERE = ("gpt", "sinusoidal", "local", "local, rotary", "strided", "alibi", "no position", "moe, rotary, alibi")


def packings() -> st.SearchStrategy[list[list[int]]]:
    """Documents of at least one token, cut off at the length of a row; a row may begin within a document."""
    lengths = st.lists(st.integers(1, 7), min_size=1, max_size=8)
    return st.tuples(lengths, st.booleans(), st.integers(0, 99)).map(lambda drawn: cut_row(*drawn))


def cut_row(lengths: list[int], cut_off: bool, seed: int) -> list[list[int]]:
    rng, left, row = np.random.default_rng(seed), LENGTH, []
    for number, length in enumerate([*lengths, LENGTH]):
        words = np.where((drawn := rng.integers(0, VOCAB - 1, length)) >= START, drawn + 1, drawn).tolist()
        document = words if cut_off and number == 0 else [START, *words[1:]]
        row.append(document[:left])
        left -= len(row[-1])
        if not left:
            break
    return row


def joined_up(rows: list[list[list[int]]]) -> np.ndarray:
    """int32 [B,T]: the documents of each row, end to end."""
    return np.array([list(chain.from_iterable(row)) for row in rows], np.int32)


def padded(documents: list[list[int]]) -> np.ndarray:
    """One document a row, in a batch of one shape: what stands behind a document is not read."""
    rows = np.zeros((LENGTH, LENGTH), np.int32)
    for row, document in zip(rows, documents, strict=False):
        row[: len(document)] = document
    return rows


@cache
def programs(name: str) -> tuple[Params, Callable[..., jax.Array], Callable[..., jax.Array]]:
    """Parameters, the model that keeps documents apart, and the same model for a row that is one text."""
    joined = Model(replace(DECODERS[name], documents=Joined()), DOUBLE)
    separate = Model(replace(DECODERS[name], documents=Separate(START)), DOUBLE)
    params = tiny.generic_params(joined)
    return params, *(jax.jit(lambda *given, of=model: of.apply(*given).logits_BTV) for model in (separate, joined))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name not in HERE)) for name in DECODERS]
)
@settings(max_examples=6, deadline=None)
@given(rows=st.lists(packings(), min_size=2, max_size=2))
def test_a_packed_document_gives_what_it_gives_alone(name: str, rows: list[list[list[int]]]) -> None:
    with jax.enable_x64(True):
        params, separate, joined = programs(name)
        packed = separate(params, joined_up(rows))
        for row, logits_TV in zip(rows, packed, strict=True):
            alone = joined(params, padded(row))
            expected_TV = np.concatenate([alone[i, : len(document)] for i, document in enumerate(row)])
            assert np.linalg.norm(logits_TV - expected_TV) <= 1e-11 * np.linalg.norm(expected_TV)


@settings(max_examples=5, deadline=None)
@given(row=packings(), name=st.sampled_from(["gpt", "local, rotary"]))
def test_the_gradient_is_the_sum_over_the_documents(row: list[list[int]], name: str) -> None:
    """The last token of a document predicts the start of the next, packed or alone."""

    def loss(logits: Callable[..., jax.Array], params: Params, tokens: Any, targets: Any, mask: Any) -> jax.Array:
        return jnp.sum(token_losses(logits(params, tokens), targets) * mask)

    with jax.enable_x64(True):
        params, separate, joined = programs(name)
        tokens = joined_up([row])
        following = np.append(tokens[:, 1:], [[START]], axis=1)
        packed = jax.grad(partial(loss, separate))(params, tokens, following, np.ones_like(tokens))
        targets = padded([[*document[1:], START] for document in row])
        lengths = np.array([len(document) for document in row] + [0] * (LENGTH - len(row)))
        counted = np.arange(LENGTH)[None, :] < lengths[:, None]
        alone = jax.grad(partial(loss, joined))(params, padded(row), targets, counted)
        size = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in alone.values()))
        for parameter, leaf in packed.items():
            assert np.linalg.norm(leaf - alone[parameter]) <= 1e-11 * size, parameter


CACHED = replace(DECODERS["local"], documents=Separate(START))


@settings(max_examples=8, deadline=None)
@given(rows=st.lists(packings(), min_size=3, max_size=3), padding=st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_the_cache_reads_no_document_but_the_last(rows: list[list[list[int]]], padding: list[int]) -> None:
    """Rows of several documents, padded on the left, read in three parts; the window's ring has seen several of them.
    Pads have the id of the start token, and are none."""
    with jax.enable_x64(True):
        model, apply = Model(CACHED, DOUBLE), cached_program()
        params = programs("local")[0]
        slots = LENGTH + 3
        text = np.full((3, slots), START, np.int32)
        for row, (tokens, pad) in enumerate(zip(joined_up(rows), padding, strict=True)):
            text[row, pad : pad + LENGTH] = tokens
        state: Any = empty_cache(model.config, jnp.asarray(padding), slots, jnp.dtype("float64"))
        parts = []
        for part in np.split(text, [9, 18], axis=1):
            output = apply(params, part, cache=state)
            state = output.cache
            parts.append(output.logits_BTV)
        logits = np.concatenate(parts, axis=1)
        alone = programs("local")[1](params, joined_up(rows))
        for row, pad in enumerate(padding):
            ours, theirs = logits[row, pad : pad + LENGTH], np.asarray(alone[row])
            assert np.linalg.norm(ours - theirs) <= 1e-11 * np.linalg.norm(theirs)


@cache
def cached_program() -> Callable[..., Any]:
    return jax.jit(Model(CACHED, DOUBLE).apply)


def test_where_documents_begin() -> None:
    positions = np.arange(8)[None]
    assert document_starts(Separate(START), ROW, positions, None).tolist() == [[0, 1, 1, 1, 4, 5, 5, 5]]
    after = document_starts(Separate(START), ROW, positions + 6, jnp.array([3]))
    assert after.tolist() == [[3, 7, 7, 7, 10, 11, 11, 11]]
    pads = document_starts(Separate(4), ROW, positions - 1, None)
    assert pads.tolist() == [[0] * 8]
    assert document_starts(Joined(), ROW, positions, None) is None


@dataclass(frozen=True)
class EvenPlaces(AttentionPattern):
    """A pattern that goes by the position of a key itself, not by its distance."""

    def allowed(self, query: Any, key: Any) -> Any:
        return (key <= query) & (key % 2 == 0)


def test_the_mask_holds_the_keys_of_the_document_and_the_pattern_counts_in_it() -> None:
    starts = document_starts(Separate(START), ROW, np.arange(8)[None], None)
    seen_TS = np.asarray(allowed(Mask(EvenPlaces(), None, None, starts), 8, 8)[0, 0])
    expected = [[0], [1], [1], [1, 3], [4], [5], [5], [5, 7]]
    assert [np.flatnonzero(row_S).tolist() for row_S in seen_TS] == expected
    no_pattern = np.asarray(allowed(Mask(None, None, None, starts), 8, 8)[0, 0])
    assert np.flatnonzero(no_pattern[3]).tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_a_start_that_is_not_known_or_not_in_the_vocabulary_is_refused() -> None:
    model = Model(replace(DECODERS["gpt"], documents=Separate()), Precision())
    with pytest.raises(UserError, match=r"model.documents.start is None: give the id"):
        jax.eval_shape(model.apply, model.shapes(), ROW)
    with pytest.raises(UserError, match=r"model.documents.start is 37: give an id of the vocabulary of 37 tokens"):
        replace(DECODERS["gpt"], documents=Separate(37))
    with pytest.raises(UserError, match=r"model.documents.start is -1"):
        Separate(-1)
