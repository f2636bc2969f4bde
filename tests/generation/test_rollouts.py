"""Sampled answers: the sampler's log-probabilities are those of the function that is trained, to the last bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from jaxdec.config.model import AnyModel
from jaxdec.config.parts import Full, Local, Strided
from jaxdec.config.positions import NoPosition, RoPE
from jaxdec.config.run import Precision
from jaxdec.errors import UserError
from jaxdec.generation.rollouts import Answer, as_batch, sample_answers
from jaxdec.generation.sampling import Sampling
from jaxdec.models.functional import Model
from jaxdec.training.reinforcement import answer_log_p
from tests import tiny
from tests.variants import GPT, MODELS

FLOAT64 = Precision("float64", "float64")
LIMIT = 1e-11
TEMPERATURE, MOST, END = 0.7, 9, 3
# Every kind of attention pattern and three kinds of positions, in two models.
TOGETHER: dict[str, AnyModel] = {
    "windows, strides, sinks": replace(
        GPT, layers=3, attention=(Local(window=4, sink=0.5), Strided(stride=3), Full(softcap=2.0))
    ),
    "alibi and rotary positions": replace(
        GPT, position=(NoPosition(), RoPE(theta=100.0)), attention=(Full(alibi=8.0), Local(window=3)), kv_heads=2
    ),
}


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def largest_difference(config: AnyModel) -> float:
    """Over all tokens of answers to prompts of unequal lengths, some of which end before the others."""
    model = Model(config, FLOAT64)
    params: Any = {name: np.asarray(value, np.float64) for name, value in tiny.generic_params(model).items()}
    prompts = [tiny.tokens(1, length, seed=length, vocab_size=37)[0] for length in (1, 2, 4, 7, 3, 5)]
    answers = sample_answers(
        model, params, prompts, most=MOST, end=END, sampling=Sampling(TEMPERATURE), key=jax.random.key(5)
    )
    lengths = {len(answer.tokens) for answer in answers}
    assert max(lengths) <= MOST and all(len(answer.tokens) == len(answer.log_p) for answer in answers)
    batch = as_batch(prompts, answers, config.context)
    trained = jax.jit(lambda params, batch: answer_log_p(model.read, params, batch, TEMPERATURE)[0])(params, batch)
    assert batch["sampler_log_p"].dtype == np.float64 and batch["mask"].sum() == sum(
        len(each.log_p) for each in answers
    )
    assert (batch["sampler_log_p"][batch["mask"] > 0] < 0).all()
    return float(np.abs(np.asarray(trained) - batch["sampler_log_p"]).max())


@pytest.mark.parametrize("name", TOGETHER)
def test_sampler_and_trainer_agree(name: str) -> None:
    assert largest_difference(TOGETHER[name]) <= LIMIT


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_sampler_and_trainer_agree_in_every_variant(name: str) -> None:
    """Of every pattern, every kind of positions, every part and wiring that the cached decoder has."""
    difference = largest_difference(MODELS[name])
    print(f"{name:<28}{difference:.1e}")
    assert difference <= LIMIT


def test_rows_hold_prompt_and_answer_and_count_the_answer() -> None:
    prompts = [np.array([5, 6]), np.array([7])]
    answers = [Answer(np.array([8, 3]), np.array([-0.5, -0.25])), Answer(np.array([9, 1, 2]), np.array([-1.0, -2, -3]))]
    batch = as_batch(prompts, answers, window=5)
    assert batch["tokens"].tolist() == [[5, 6, 8, 3, 0], [7, 9, 1, 2, 0]]
    assert batch["targets"].tolist() == [[6, 8, 3, 0, 0], [9, 1, 2, 0, 0]]
    assert batch["mask"].tolist() == [[0, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    assert batch["sampler_log_p"].tolist() == [[0, -0.5, -0.25, 0, 0], [-1, -2, -3, 0, 0]]


def test_an_answer_that_does_not_fit_the_context_is_an_error() -> None:
    model = Model(GPT, FLOAT64)
    with pytest.raises(UserError, match=r"17 tokens has 20 tokens, of which 19 are read: more than model.context 16"):
        sample_answers(model, {}, [np.arange(3)], most=17, end=END, sampling=Sampling(), key=jax.random.key(0))
