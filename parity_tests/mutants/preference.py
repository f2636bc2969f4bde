"""Seeded bugs that losses over pairs of answers have: in the log-probabilities, the reference, and the margin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import later_mutant
from torchref.training import preference

PAIR = "preference"  # of `jaxdec.parity.pairs.later`


def _losses(change: Any) -> Patch:
    original = preference.pair_losses
    return patch.object(preference, "pair_losses", lambda *given: change(original, *given))


def _log_probabilities(change: Any) -> Patch:
    original = preference.answer_log_probabilities
    return patch.object(preference, "answer_log_probabilities", lambda *given: change(original, *given))


@later_mutant("loss", PAIR)
def beta_left_out() -> Patch:
    return _losses(lambda original, loss, chosen, rejected: original(replace(loss, beta=1.0), chosen, rejected))


@later_mutant("loss", PAIR)
def chosen_and_rejected_exchanged() -> Patch:
    return _losses(lambda original, loss, chosen, rejected: original(loss, rejected, chosen))


@later_mutant("loss", PAIR)
def smoothing_left_out() -> Patch:
    return _losses(
        lambda original, loss, chosen, rejected: original(replace(loss, label_smoothing=0.0), chosen, rejected)
    )


@later_mutant("loss", PAIR)
def prompt_counted() -> Patch:
    """The sum runs over all targets, not over those of the answer."""
    return _log_probabilities(
        lambda original, logits, batch: original(logits, {**batch, "mask": torch.ones_like(batch["mask"])})
    )


@later_mutant("loss", PAIR)
def mean_over_the_answer() -> Patch:
    """Log-probabilities are divided by the answer's length."""
    return _log_probabilities(lambda original, logits, batch: original(logits, batch) / batch["mask"].sum(-1))


@later_mutant("loss", PAIR)
def reference_with_a_gradient() -> Patch:
    """The reference has the right value, and half of the policy's gradient."""

    def ratios(original: Any, loss: Any, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return original(loss, *(ratio - (ratio - ratio.detach()) / 2 for ratio in (chosen, rejected)))

    return _losses(ratios)
