"""Instruction finetuning equals its twin: packed entries, masked prompts, in float64."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.trial import trial
from jaxdec.parity.compare.comparison import require
from jaxdec.parity.pairs.later import RUNS, later_pair
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, stages_of
from jaxdec.parity.spec import LATER
from parity_tests.mutants import instruct
from parity_tests.mutants.registry import LATER as BUGS

GENERIC = Setting("generic")


@functools.cache
def sides() -> Sides:
    return Sides(later_pair("instruct"))


def test_the_names_are_those_of_the_pairs() -> None:
    assert set(LATER) == set(RUNS)


def test_the_batches_have_what_a_training_has() -> None:
    """Rows of several entries, prompts that do not count, and unequal numbers of counted targets."""
    for batch in sides().pair.draw(0, 3):
        begins = (batch["tokens"] == 5).sum(1)
        assert begins.max() > 1
        counted = batch["mask"].sum(1)
        assert len(set(counted.tolist())) > 1 and 0 < batch["mask"].mean() < 1
        ends = (batch["targets"] == 5) & (batch["mask"] == 1)
        assert ends.any() and not np.all(batch["mask"][batch["targets"] == 5] == 1), "the padding does not count"


@pytest.mark.parametrize("stage", ["loss", "gradients", "accumulation", "trajectory"])
def test_both_sides_agree(stage: str) -> None:
    """Where the batches matter. Accumulation: four parts of one row and one part of four; trajectory: 100 steps."""
    found = stages_of(sides().pair)[stage](sides(), GENERIC)
    assert found
    require(found)


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in BUGS if mutant.pair == instruct.PAIR], ids=lambda mutant: mutant.name
)
def test_a_seeded_bug_is_caught_and_named(mutant: Mutant) -> None:
    done = trial(mutant, sides(), usual=False, stages=("taps", "loss", "gradients", "accumulation"))
    assert done.caught and done.named == mutant.where, str(done)
