"""Routing of tokens to experts: scores, choices, gates, capacity, and the losses for even load and small scores.
N tokens (all of a batch) form one group; each makes K choices among E experts.
"""

from __future__ import annotations

import math
from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.config.parts import MoE


def noisy_scores(scores_NE: Tensor, spread_NE: Tensor, noise_NE: Tensor) -> Tensor:
    """scores + noise * softplus(spread) (Shazeer et al. 2017, equation 4)."""
    return scores_NE + noise_NE.to(scores_NE.dtype) * F.softplus(spread_NE)


def choose(scores_NE: Tensor, top_k: int) -> Tensor:
    """The experts with the K highest scores, [N,K], the highest first; of equal scores the lower expert first, which
    `torch.topk` does not promise."""
    return scores_NE.detach().sort(dim=-1, descending=True, stable=True).indices[:, :top_k]


def gates(scores_NE: Tensor, chosen_NK: Tensor, over: Literal["chosen", "all"]) -> Tensor:
    """The weight of each choice, [N,K]: the softmax over the chosen scores, or the chosen parts of the softmax over all
    (which are not made to sum to 1 again)."""
    match over:
        case "chosen":
            return torch.softmax(scores_NE.gather(-1, chosen_NK), dim=-1)
        case "all":
            return torch.softmax(scores_NE, dim=-1).gather(-1, chosen_NK)
        case _:
            assert_never(over)


def capacity(part: MoE, tokens: int, *, training: bool) -> int:
    """How many assignments an expert takes: the even share K N / E times the factor, rounded down to an even number, at
    least `min_capacity`; all N without a factor."""
    factor = part.capacity_factor if training else part.eval_capacity_factor
    if factor is None:
        return tokens
    share = math.floor(part.top_k * factor * tokens / part.experts)
    return min(max(share - share % 2, part.min_capacity), tokens)


def kept(chosen_NK: Tensor, experts: int, slots: int) -> Tensor:
    """Which assignments get a slot, [N,K]: all first choices come before all second ones, in the order of the tokens,
    and the first `slots` of each expert are kept."""
    taken_KNE = F.one_hot(chosen_NK.T, experts)
    before_KNE = taken_KNE.flatten(0, 1).cumsum(0).view_as(taken_KNE) - taken_KNE
    position_KN = (before_KNE * taken_KNE).sum(-1)
    return (position_KN < slots).T


def balance_loss(scores_NE: Tensor, chosen_NK: Tensor) -> Tensor:
    """E * sum over experts of (share of the assignments) * (mean probability): 1 when both are even (Fedus et al. 2021,
    equations 4 to 6, for K choices)."""
    experts = scores_NE.shape[-1]
    share_E = F.one_hot(chosen_NK, experts).flatten(0, 1).to(scores_NE.dtype).mean(0)
    return experts * (share_E * torch.softmax(scores_NE, dim=-1).mean(0)).sum()


def z_loss(scores_NE: Tensor) -> Tensor:
    """The mean over tokens of logsumexp(scores)^2 (Zoph et al. 2022, equation 5)."""
    return torch.logsumexp(scores_NE, dim=-1).square().mean()


def entropy(scores_NE: Tensor) -> Tensor:
    """The mean over tokens of the entropy of the softmax over all scores, in nats."""
    log_NE = torch.log_softmax(scores_NE, dim=-1)
    return -(log_NE.exp() * log_NE).sum(-1).mean()
