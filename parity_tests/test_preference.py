"""Learning from preferences equals its twin: log-probabilities, losses and gradients of pairs, in float64."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from jaxdec.config.preference import IPO, Preference
from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.trial import trial
from jaxdec.parity.compare.comparison import require
from jaxdec.parity.pairs.later import RUNS, later_pair
from jaxdec.parity.pairs.pairs import pair_of_run
from jaxdec.parity.pairs.run import twin_run
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, stages_of
from parity_tests.mutants import preference
from parity_tests.mutants.registry import LATER as BUGS

GENERIC = Setting("generic")


@functools.cache
def sides(name: str = "preference") -> Sides:
    if name == "ipo":
        model = RUNS["preference"]().model
        return Sides(pair_of_run(name, twin_run(model, stage=Preference(IPO(tau=0.2)))))
    return Sides(later_pair(name))


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        *(("preference", stage) for stage in ("loss", "gradients", "accumulation", "trajectory")),
        ("ipo", "gradients"),
        *(pytest.param("ipo", stage, marks=pytest.mark.long) for stage in ("accumulation", "trajectory")),
    ],
)
def test_both_sides_agree(name: str, stage: str) -> None:
    """Accumulation: four parts of one pair and one part of four; trajectory: 100 steps."""
    found = stages_of(sides(name).pair)[stage](sides(name), GENERIC)
    assert found
    require(found)


@pytest.mark.parametrize("name", ["preference", "ipo"])
def test_the_loss_is_the_papers(name: str) -> None:
    """Token by token, by equation 7 of Rafailov et al. with Mitchell's smoothing and equation 17 of Azar et al."""
    batch = sides(name).pair.draw(0, 1)[0]
    model = sides(name).reference.build(GENERIC)
    with torch.no_grad():
        logits = model(torch.from_numpy(batch["tokens"]).flatten(0, 1)).logits_BTV.view(4, 2, 16, -1)
    sums = np.zeros((4, 2))
    for pair, side, place in zip(*np.nonzero(batch["mask"]), strict=True):
        sums[pair, side] += F.log_softmax(logits[pair, side, place], -1)[batch["targets"][pair, side, place]].item()
    margins = np.diff(batch["reference"] - sums, axis=1)[:, 0]
    if name == "ipo":
        expected = np.mean((margins - 1 / (2 * 0.2)) ** 2)
    else:
        expected = np.mean(0.9 * np.log(1 + np.exp(-0.3 * margins)) + 0.1 * np.log(1 + np.exp(0.3 * margins)))
    loss, _ = sides(name).candidate.loss_and_gradients(GENERIC)
    assert loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in BUGS if mutant.pair == preference.PAIR], ids=lambda mutant: mutant.name
)
def test_a_seeded_bug_is_caught_and_named(mutant: Mutant) -> None:
    done = trial(mutant, sides(), usual=False, stages=("taps", "loss", "gradients", "accumulation"))
    assert done.caught and done.named == mutant.where, str(done)
