"""Seeded bugs that GRPO has: in the ratio, in the divergence, in the mask and in the advantages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from jaxdec.config.reinforce import Reinforce
from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import later_mutant
from torchref.training import reinforcement

PAIR = "reinforce"  # of `jaxdec.parity.pairs.later`


def objective(change: Any) -> Patch:
    """What is maximised at a token, changed: `change(stage, ratio, log p' / p, advantage)`."""

    def changed(stage: Reinforce, log_p_N: Tensor, sampled_N: Tensor, first_N: Tensor, advantage: Tensor) -> Tensor:
        return change(stage, (log_p_N - sampled_N).exp(), first_N - log_p_N, advantage)

    return patch.object(reinforcement, "token_objectives", changed)


def bounded(stage: Reinforce, ratio_N: Tensor, advantage: Tensor) -> Tensor:
    return torch.minimum(ratio_N * advantage, ratio_N.clamp(1 - stage.clip, 1 + stage.clip) * advantage)


@later_mutant("loss", PAIR)
def ratio_not_clipped() -> Patch:
    return objective(lambda stage, ratio, other, gain: ratio * gain - stage.kl * (other.exp() - other - 1))


@later_mutant("loss", PAIR)
def clipped_ratio_alone() -> Patch:
    """Without the minimum: an answer that became unlikelier than it should is not made likelier again."""
    return objective(
        lambda stage, ratio, other, gain: (
            ratio.clamp(1 - stage.clip, 1 + stage.clip) * gain - stage.kl * (other.exp() - other - 1)
        )
    )


@later_mutant("loss", PAIR)
def divergence_rewarded() -> Patch:
    """Its sign turned."""
    return objective(
        lambda stage, ratio, other, gain: bounded(stage, ratio, gain) + stage.kl * (other.exp() - other - 1)
    )


@later_mutant("loss", PAIR)
def divergence_the_other_way_round() -> Patch:
    return objective(
        lambda stage, ratio, other, gain: bounded(stage, ratio, gain) - stage.kl * ((-other).exp() + other - 1)
    )


@later_mutant("loss", PAIR)
def prompt_counts_too() -> Patch:
    """The mask of the answer is not used."""
    original = reinforcement.policy_loss

    def loss(stage: Reinforce, model: Any, batch: Any) -> Tensor:
        return original(stage, model, {**batch, "mask": torch.ones_like(batch["mask"])})

    return patch.object(reinforcement, "policy_loss", loss)


@later_mutant("loss", PAIR)
def temperature_of_the_sampler_forgotten() -> Patch:
    original = reinforcement.policy_loss
    return patch.object(
        reinforcement,
        "policy_loss",
        lambda stage, model, batch: original(replace(stage, temperature=1.0), model, batch),
    )


@later_mutant("loss", PAIR)
def mean_over_tokens_instead_of_answers() -> Patch:
    """What DAPO does, taken for GRPO."""

    def answer(stage: Reinforce, objective_N: Tensor, window: int) -> Tensor:
        return objective_N.sum() / (window / 4)

    return patch.object(reinforcement, "answer_objective", answer)
