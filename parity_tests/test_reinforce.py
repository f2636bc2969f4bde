"""GRPO equals its twin and the formula written out in numpy, in float64; seeded bugs of the twin are caught."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, get_args
from unittest.mock import patch

import jax
import numpy as np
import pytest
import torch

from jaxdec.config.reinforce import Average, Baseline, Reinforce
from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.trial import trial
from jaxdec.parity.compare.comparison import require
from jaxdec.parity.pairs.later import later_pair
from jaxdec.parity.pairs.run import twin_run
from jaxdec.parity.pairs.variants import GPT
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.stages import Sides, stages_of
from jaxdec.training.objectives import objective_of
from jaxdec.training.reinforcement import advantages
from parity_tests.mutants import reinforce
from parity_tests.mutants.registry import LATER as BUGS
from torchref.training import reinforcement as twin
from torchref.training.objectives import objective_of as twin_objective_of

GENERIC = Setting("generic")
AVERAGES = get_args(Average)


@functools.cache
def sides() -> Sides:
    return Sides(later_pair("reinforce"))


@pytest.mark.parametrize("stage", ["loss", "gradients", "accumulation", "trajectory"])
def test_both_sides_agree(stage: str) -> None:
    """Accumulation: four parts of one row and one part of four; trajectory: 100 steps."""
    found = stages_of(sides().pair)[stage](sides(), GENERIC)
    assert found
    require(found)


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in BUGS if mutant.pair == reinforce.PAIR], ids=lambda mutant: mutant.name
)
def test_a_seeded_bug_is_caught_and_named(mutant: Mutant) -> None:
    done = trial(mutant, sides(), usual=False, stages=("taps", "loss", "gradients", "accumulation"))
    assert done.caught and done.named == mutant.where, str(done)


# Against the formula, for each way to average


def written_out(stage: Reinforce, logits: np.ndarray, batch: dict[str, np.ndarray]) -> float:
    """Shao et al. 2024, eq. 3 and 4, token by token."""
    answers = []
    for row, mask in enumerate(batch["mask"]):
        values = []
        for place in np.flatnonzero(mask):
            scores = logits[row, place] / stage.temperature
            log_p = scores[batch["targets"][row, place]] - np.log(np.sum(np.exp(scores)))
            ratio = np.exp(log_p) / np.exp(batch["sampler_log_p"][row, place])
            gain, low, high = batch["advantage"][row], 1 - stage.clip, 1 + stage.clip
            best = min(ratio * gain, min(max(ratio, low), high) * gain)
            first = np.exp(batch["first_log_p"][row, place]) / np.exp(log_p)
            values.append(-(best - stage.kl * (first - np.log(first) - 1)))
        answers.append(values)
    match stage.average:
        case "sequence":
            return float(np.mean([np.mean(values) for values in answers]))
        case "token":
            return float(np.mean(np.concatenate(answers)))
        case _:
            return float(np.mean([np.sum(values) / batch["mask"].shape[1] for values in answers]))


class Given:
    """A model that returns these logits."""

    inputs = ()

    def __init__(self, logits: Any) -> None:
        self.output = type("Output", (), {"logits_BTV": logits, "aux": {}})()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self.output


@pytest.mark.parametrize("average", AVERAGES)
def test_the_loss_is_the_papers_formula(average: Average) -> None:
    stage = Reinforce(average=average, temperature=0.7, clip=0.3, kl=0.5)
    batch = twin_run(GPT, stage=stage).batches(seed=3, count=1)[0]
    logits = np.random.default_rng(4).normal(size=(*batch["tokens"].shape, 37))
    expected = written_out(stage, logits, batch)
    ours, theirs = objective_of(stage), twin_objective_of(stage)
    total, sums = ours.loss(Given(logits), {}, batch, jax.random.key(0))
    assert float(total / ours.count(batch)) == pytest.approx(expected, rel=1e-13)
    assert 0 < float(sums["clipped_share"] / ours.count(batch)) < 1
    leaves = {name: torch.from_numpy(leaf) for name, leaf in batch.items()}
    model: Any = Given(torch.from_numpy(logits))
    assert float(theirs.loss(model, leaves) / theirs.count(leaves)) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("baseline", get_args(Baseline))
def test_advantages_are_those_of_the_twin(baseline: Baseline) -> None:
    rewards = np.array([[1.0, 0, 0, 1, 0], [0.25, 0.5, 0.75, 1, 0], [0.1] * 5, [1] * 5, [0] * 5])
    found, stage = advantages(rewards, baseline), Reinforce(baseline=baseline)
    true = torch.stack([twin.group_advantages(stage, group) for group in torch.from_numpy(rewards)]).numpy()
    np.testing.assert_allclose(found, true, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(found.mean(1), 0, atol=1e-15)
    assert np.all(found[2:] == 0), "a group whose answers are worth the same teaches nothing"
    assert found[0, 0] == pytest.approx((0.6 / 0.24**0.5) if baseline == "normalized" else 0.6)
    with patch.object(torch.Tensor, "mean", lambda *_: torch.zeros(())):
        wrong = twin.group_advantages(replace(stage, baseline="centered"), torch.from_numpy(rewards[0]))
    assert not np.allclose(wrong.numpy(), found[0]), "advantages that are not centred are caught"
