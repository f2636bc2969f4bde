"""Log-probabilities of continuations against the model alone, row by row: batches, padding, and what is cut."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pytest

from jaxdec.config.parts import MoE
from jaxdec.errors import TrainingError
from jaxdec.evaluation.suites.continuations import Continuations, Request, encode_pair, rows_of_request
from jaxdec.models.functional import Model
from jaxdec.runs.loading import LoadedRun
from tests import tiny


@functools.cache
def _applied(model: Model) -> Any:
    return jax.jit(model.apply)


def naive(run: LoadedRun, request: Request) -> tuple[float, bool]:
    """One target at a time, each behind the newest tokens that the model can read."""
    ids, total, greedy = [*request.context, *request.continuation], 0.0, True
    apply = _applied(run.model)
    for place in range(len(request.context), len(ids)):
        before = ids[:place][-run.config.model.context :]
        padded = np.zeros((1, run.config.model.context), np.int32)
        padded[0, : len(before)] = before
        logits = np.asarray(apply(run.params, padded).logits_BTV, np.float64)[0, len(before) - 1]
        total += logits[ids[place]] - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        greedy &= int(np.argmax(logits)) == ids[place]
    return total, greedy


def test_scores_are_those_of_the_model_alone(char_run: LoadedRun) -> None:
    """Of a context of 8: rows of several lengths in one batch, the longest that fits, and one whose context is cut."""
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (2, 4), (3, 2), (5, 4), (1, 8), (1, 3)]
    requests = [Request(*(rng.integers(0, 20, length).tolist() for length in shape)) for shape in shapes]
    start = np.full((1, 8), 3, np.int32)
    best = int(np.argmax(_applied(char_run.model)(char_run.params, start).logits_BTV[0, 0]))
    requests.append(Request([3], [best]))
    scores = Continuations(char_run.model, char_run.params).score(requests)
    for request, score in zip(requests, scores, strict=True):
        total, greedy = naive(char_run, request)
        assert score.logprob == pytest.approx(total, rel=1e-5)
        assert (score.greedy, score.tokens, score.cut) == (greedy, len(request.continuation), False)
    assert scores[-1].greedy and not all(score.greedy for score in scores)
    (cut,) = Continuations(char_run.model, char_run.params).score([Request([9] * 20 + [4, 5, 6, 7, 8], [1, 2, 3, 4])])
    (short,) = Continuations(char_run.model, char_run.params).score([Request([4, 5, 6, 7, 8], [1, 2, 3, 4])])
    assert cut.cut and cut.logprob == pytest.approx(short.logprob, rel=1e-6)


def test_a_continuation_longer_than_the_context_is_scored_whole() -> None:
    """Every target once, each behind half a context at least, once so much has been read."""
    request = Request(list(range(100, 103)), list(range(20)))
    rows = list(rows_of_request(5, request, 8))
    targets = [token for row in rows for token in row.ids[len(row.ids) - row.scored :].tolist()]
    assert targets == list(range(20))
    assert max(len(row.ids) - 1 for row in rows) <= 8
    assert all(len(row.ids) - row.scored >= 4 for row in rows[1:])
    assert {row.index for row in rows} == {5}


def test_pairs_are_cut_as_lm_eval_does(char_run: LoadedRun) -> None:
    tokenizer = char_run.tokenizer
    pair = encode_pair(tokenizer, "so that ", "and")
    assert (tokenizer.decode(pair.context), tokenizer.decode(pair.continuation)) == ("so that", " and")
    empty = encode_pair(tokenizer, "", "and")
    assert len(empty.context) > 0 and tokenizer.decode(empty.continuation) == "and"
    with pytest.raises(ValueError, match="no token"):
        encode_pair(tokenizer, "so", "")


def test_experts_drop_nothing_so_that_no_row_depends_on_its_neighbours() -> None:
    model = tiny.model(layers=1, mlp=MoE(experts=4, top_k=1, eval_capacity_factor=0.25, min_capacity=2))
    params = tiny.generic_params(model)
    rng = np.random.default_rng(1)
    requests = [Request(rng.integers(0, 11, 3).tolist(), rng.integers(0, 11, 4).tolist()) for _ in range(4)]
    together = Continuations(model, params).score(requests)
    alone = [Continuations(model, params).score([request])[0] for request in requests]
    assert [score.logprob for score in together] == pytest.approx([score.logprob for score in alone], rel=1e-5)


def test_weights_that_are_not_finite_are_an_error(char_run: LoadedRun) -> None:
    name = "final_norm.scale"
    params = {**char_run.params, name: jax.numpy.full_like(char_run.params[name], np.nan)}
    with pytest.raises(TrainingError, match="no numbers"):
        Continuations(char_run.model, params).score([Request([1], [2])])
