"""The recipe that ships: its model, batch and optimizer at full size, 100 steps in float64."""

from __future__ import annotations

from dataclasses import replace

from jaxdec.config import Precision
from jaxdec.parity.comparison import require
from jaxdec.recipes import load_recipe
from parity_tests import jax_side, torch_side
from parity_tests.cases import OPTIM, STEPS, Case
from parity_tests.checks import trajectory


def test_char_gpt_trains_alike() -> None:
    recipe = load_recipe("char-gpt")
    config = replace(
        recipe,
        model=replace(recipe.model, vocab_size=65),
        optim=replace(recipe.optim, warmup_steps=OPTIM.warmup_steps, decay_steps=OPTIM.decay_steps),
        train=replace(recipe.train, steps=STEPS),
        precision=Precision("float64", "float64"),
    )
    require(trajectory(Case("char-gpt", config, "init"), jax_side, torch_side))
