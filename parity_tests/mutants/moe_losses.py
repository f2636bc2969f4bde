"""Seeded bugs in the losses that keep a router healthy."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import mutant
from parity_tests.mutants.tiny import DROPS
from torchref.layers.moe import moe, router

ROUTED = "moe-gpt"


@mutant("blocks.1.mlp", ROUTED)
def balance_of_kept_probabilities_alone() -> Patch:
    """The mean of gates, which are zero where an expert was not chosen, in place of probabilities."""

    def loss(scores_NE: Tensor, chosen_NK: Tensor) -> Tensor:
        experts = scores_NE.shape[-1]
        taken_NE = F.one_hot(chosen_NK, experts).sum(1)
        share_E = taken_NE.to(scores_NE.dtype).mean(0) / chosen_NK.shape[1]
        return experts * (share_E * (torch.softmax(scores_NE, -1) * taken_NE).mean(0)).sum()

    return patch.object(router, "balance_loss", loss)


@mutant("blocks.1.mlp", ROUTED)
def balance_by_first_choices_alone() -> Patch:
    original = router.balance_loss
    return patch.object(router, "balance_loss", lambda scores, chosen: original(scores, chosen[:, :1]))


@mutant("blocks.1.mlp", ROUTED)
def balance_shares_not_divided_by_the_choices() -> Patch:
    original = router.balance_loss
    return patch.object(router, "balance_loss", lambda scores, chosen: chosen.shape[1] * original(scores, chosen))


@mutant("blocks.1.mlp", ROUTED)
def z_loss_not_squared() -> Patch:
    return patch.object(router, "z_loss", lambda scores: torch.logsumexp(scores, -1).mean())


@mutant("blocks.1.mlp", ROUTED)
def z_loss_summed_over_tokens() -> Patch:
    return patch.object(router, "z_loss", lambda scores: torch.logsumexp(scores, -1).square().sum())


@mutant("blocks.1.mlp", ROUTED)
def z_loss_of_the_mean() -> Patch:
    return patch.object(router, "z_loss", lambda scores: torch.logsumexp(scores, -1).mean().square())


@mutant("model", DROPS, named="blocks.1.mlp")
def losses_of_layers_averaged() -> Patch:
    """Named by the last layer whose loss weighs too little."""
    original = moe.summarise

    def averaged(routings: Any) -> Any:
        aux, metrics = original(routings)
        return {name: value / max(1, len(routings)) for name, value in aux.items()}, metrics

    from torchref.models import decoder

    return patch.object(decoder, "summarise", averaged)
