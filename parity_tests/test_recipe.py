"""The recipe that ships: its model, batch and optimizer at full size, the first steps in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jaxdec.config.run import Precision
from jaxdec.parity.compare.comparison import require
from jaxdec.parity.pairs.pairs import pair_of_run
from jaxdec.parity.pairs.run import OPTIM, TwinRun
from jaxdec.parity.sides.stages import Sides, trajectory
from jaxdec.recipes import load_recipe
from parity_tests.twins import INIT

STEPS = 40


@pytest.mark.long
def test_char_gpt_trains_alike() -> None:
    recipe = load_recipe("char-gpt")
    config = replace(
        recipe,
        model=replace(recipe.model, vocab_size=65),
        optim=replace(recipe.optim, warmup_steps=OPTIM.warmup_steps, decay_steps=OPTIM.decay_steps),
        train=replace(recipe.train, steps=STEPS),
        precision=Precision("float64", "float64"),
    )
    require(trajectory(Sides(pair_of_run("char-gpt", TwinRun(config)), STEPS), INIT))
