"""Classification equals its twin: unequal lengths and weights, at the last token and at the last position."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from jaxdec.config.classify import Classify, ReadAt
from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.trial import trial
from jaxdec.parity.compare.comparison import require
from jaxdec.parity.pairs.later import RUNS
from jaxdec.parity.pairs.pairs import pair_of_run
from jaxdec.parity.pairs.run import TwinRun
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, stages_of
from parity_tests.mutants import classify
from parity_tests.mutants.registry import LATER as BUGS

GENERIC = Setting("generic")


@functools.cache
def sides(at: ReadAt) -> Sides:
    config = RUNS["classify"]().config
    assert isinstance(config.stage, Classify)
    return Sides(pair_of_run(f"classify {at}", TwinRun(replace(config, stage=replace(config.stage, at=at)))))


def test_the_batches_have_what_a_training_has() -> None:
    """Texts that fill their rows and texts that do not, every class, and unequal weights."""
    batches = sides("last_token").pair.draw(0, 3)
    lengths, labels, weights = (
        np.concatenate([batch[name] for batch in batches]) for name in ("lengths", "labels", "weights")
    )
    assert lengths.max() == batches[0]["tokens"].shape[1] and lengths.min() < lengths.max()
    assert set(labels.tolist()) == {0, 1, 2}
    assert weights.std() > 0.3


CASES = [
    *(("last_token", stage) for stage in ("loss", "gradients", "accumulation", "trajectory")),
    ("last_position", "gradients"),
]


@pytest.mark.parametrize(("at", "stage"), CASES, ids=str)
def test_both_sides_agree(at: ReadAt, stage: str) -> None:
    """Accumulation: four parts of one row and one part of four; trajectory: 100 steps."""
    found = stages_of(sides(at).pair)[stage](sides(at), GENERIC)
    assert found
    require(found)


@pytest.mark.long
@pytest.mark.parametrize("stage", ["accumulation", "trajectory"])
def test_both_sides_agree_at_the_last_position(stage: str) -> None:
    found = stages_of(sides("last_position").pair)[stage](sides("last_position"), GENERIC)
    assert found
    require(found)


def test_where_the_classifier_reads_matters() -> None:
    losses = [sides(at).candidate.loss_and_gradients(GENERIC)[0] for at in ("last_token", "last_position")]
    assert abs(losses[0] - losses[1]) > 1e-2


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in BUGS if mutant.pair == classify.PAIR], ids=lambda mutant: mutant.name
)
def test_a_seeded_bug_is_caught_and_named(mutant: Mutant) -> None:
    done = trial(mutant, sides("last_token"), usual=False, stages=("taps", "loss", "gradients", "accumulation"))
    assert done.caught and done.named == mutant.where, str(done)
