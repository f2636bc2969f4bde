"""The use of a context, on models whose use of it is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config.parts import Local
from jaxdec.config.run import NO_CORPUS, DataConfig
from jaxdec.evaluation.quality.context import gains, losses_by_context
from jaxdec.evaluation.quality.copying import copy_losses, random_passages
from jaxdec.evaluation.quality.long_range import evaluate, printed
from jaxdec.evaluation.suites.options import SuiteOptions
from tests import tiny

VOCABULARY = 11


def model_of(read: Any) -> Any:
    """What a `Model` is to the measures: the logits of tokens [B,T]."""
    return SimpleNamespace(read=lambda params, batch: SimpleNamespace(logits_BTV=read(batch["tokens"])))


def test_each_loss_is_that_of_the_text_cut_before_its_target():
    """The logits depend on every token that is read, and on how many there are."""
    phases = np.arange(VOCABULARY, dtype=np.float32)

    def read(tokens_BT: jax.Array) -> jax.Array:
        return jnp.cos(jnp.cumsum(tokens_BT + 1.0, axis=1)[..., None] * phases[None, None])

    tokens = tiny.tokens(1, 40)[0]
    found = losses_by_context(model_of(read), {}, tokens, longest=6, targets=5, tokens_at_once=12)
    assert list(found) == [1, 2, 4, 6]
    places = [6, 14, 22, 30, 39]  # spread evenly over those with six tokens before them
    for length, losses in found.items():
        sums = np.array([(tokens[place - length : place] + 1).sum() for place in places])
        logits_BV = np.cos(sums[:, None] * phases)
        expected = np.log(np.exp(logits_BV).sum(-1)) - logits_BV[np.arange(5), tokens[places]]
        np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_a_window_of_attention_gains_nothing_beyond_it():
    model = tiny.model(layers=1, attention=Local(window=2))
    params = tiny.generic_params(model) | {"position_embed.embedding": jnp.zeros((8, 16))}
    losses = losses_by_context(model, params, tiny.tokens(1, 60)[0], 4, targets=20, tokens_at_once=80)
    rows = gains(losses)
    assert abs(rows["2"]["gain"]) > 1e-3
    assert rows["4"]["gain"] == pytest.approx(0, abs=1e-6)
    assert rows["4"]["gain_standard_error"] == pytest.approx(0, abs=1e-6)


def test_the_error_of_a_gain_is_of_paired_differences():
    """Targets differ by far more than any context helps, and still the gain is exact."""
    hard = np.array([0.0, 10.0, 3.0, 7.0])
    row = gains({1: hard + 1, 2: hard})["2"]
    assert row["gain"] == pytest.approx(1.0) and row["gain_standard_error"] == pytest.approx(0.0)
    assert row["loss"] == 5.0 and row["loss_standard_error"] == pytest.approx(hard.std(ddof=1) / 2)


def test_passages_are_written_twice():
    twice = random_passages(np.array([3, 5, 8]), count=7, length=6, seed=1)
    assert twice.shape == (7, 12) and set(np.unique(twice)) <= {3, 5, 8}
    assert np.array_equal(twice[:, :6], twice[:, 6:]) and not np.array_equal(twice[0], twice[1])
    assert np.array_equal(twice, random_passages(np.array([3, 5, 8]), 7, 6, seed=1))


def test_a_model_that_copies_saves_the_whole_loss_and_one_that_does_not_nothing():
    length = 5
    twice = random_passages(np.arange(VOCABULARY), count=9, length=length, seed=0)

    def copies(tokens_BT: jax.Array) -> jax.Array:
        """The next token is the one that stands length - 1 before this one, where this one is a token of the copy."""
        seen = jnp.pad(tokens_BT[:, 1:], ((0, 0), (length, 0)), constant_values=-1)[:, : tokens_BT.shape[1]]
        return 50.0 * jax.nn.one_hot(seen, VOCABULARY)

    first, second = copy_losses(model_of(copies), {}, twice, tokens_at_once=25)
    assert len(first) == len(second) == 9
    np.testing.assert_allclose(second, 0, atol=1e-6)
    np.testing.assert_allclose(first, np.log(VOCABULARY), rtol=1e-5)
    first, second = copy_losses(model_of(lambda tokens: jnp.zeros((*tokens.shape, VOCABULARY))), {}, twice, 25)
    np.testing.assert_allclose(first, second)


def test_the_lines_of_the_terminal():
    row = {"loss": 2.5, "loss_standard_error": 0.25}
    copying = {"passages": 2, "tokens_each": 3, "copy_score": 0.5, "copy_score_standard_error": None}
    for name in ("first_copy", "second_copy"):
        copying |= {name: 1.0, f"{name}_standard_error": 1.0}
    shown = printed(
        {"context": {"1": row, "2": {**row, "gain": 0.5, "gain_standard_error": 0.125}}, "copying": copying}
    )
    lines = {name: value for table in shown.values() for name, value in table.items()}
    assert lines["copy score"] == "0.5000 ± 0.0000" and lines["loss in the first copy"] == "1.0000 ± 1.0000"
    assert lines["     2"] == "2.5000 ± 0.2500   gain 0.5000 ± 0.1250"


def test_weights_have_no_corpus_and_a_short_context_no_copy():
    run: Any = SimpleNamespace(
        config=tiny.run_config(data=DataConfig(NO_CORPUS), model=tiny.MODEL),
        model=SimpleNamespace(config=SimpleNamespace(context=3)),
    )
    found = evaluate(run, SuiteOptions())
    assert found == {
        "left_out": "the loss by context: these weights have none, give --data.corpus",
        "left_out_copying": "a passage and its copy do not fit into a context of 3",
    }
