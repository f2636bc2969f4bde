"""Recipes: found by name, consistent, and equal to the published configurations they claim to be."""

from __future__ import annotations

import pytest

from jaxdec.errors import UserError
from jaxdec.recipes import describe_recipe, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_consistent_and_described(name: str) -> None:
    assert load_recipe(name) == load_recipe(name).check()
    assert 20 < len(describe_recipe(name)) < 110


def test_char_gpt_is_nanogpts_cpu_configuration() -> None:
    run = load_recipe("char-gpt")
    model, train, optim = run.model, run.train, run.optim
    assert (model.layers, model.heads, model.width, model.context, model.dropout) == (4, 4, 128, 64, 0.0)
    assert (run.batch_size, train.steps, train.eval_every, train.eval_batches) == (12, 2000, 250, 20)
    assert (optim.learning_rate, optim.min_learning_rate, optim.warmup_steps, run.decay_steps) == (
        1e-3,
        1e-4,
        100,
        2000,
    )
    assert (optim.beta1, optim.beta2, optim.weight_decay, optim.clip_norm) == (0.9, 0.99, 0.1, 1.0)


def test_baby_gpt_is_nanogpts_gpu_configuration() -> None:
    run = load_recipe("baby-gpt")
    model = run.model
    assert (model.layers, model.heads, model.width, model.context, model.dropout) == (6, 6, 384, 256, 0.2)
    assert (run.batch_size, run.train.steps, run.data.corpus) == (64, 5000, "tinyshakespeare")


@pytest.mark.parametrize(
    ("typed", "said"), [("char-gtp", "did you mean 'char-gpt'?"), ("char_gpt", "did you mean 'char-gpt'?")]
)
def test_an_unknown_recipe_gets_its_nearest_name(typed: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(typed)
    assert said in str(error.value)
