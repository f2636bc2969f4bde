"""Losses over pairs of answers: DPO with label smoothing, and IPO.

DPO: Rafailov et al. 2023, equation 7. IPO: Azar et al. 2023, equation 17. A batch has `tokens`, `targets` and `mask`
[P,2,T], the chosen answer before the rejected one, and `reference` [P,2], log-probabilities that are given.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.config.preference import DPO, IPO, PreferenceLoss
from torchref.models.language_model import LanguageModel
from torchref.training.loop import Objective, Part


def preference_objective(loss: PreferenceLoss) -> Objective:
    """The mean over pairs."""
    return Objective(partial(preference_loss, loss), counted_pairs)


def preference_loss(loss: PreferenceLoss, model: LanguageModel, batch: Part) -> Tensor:
    """The sum over pairs."""
    output = model(batch["tokens"].flatten(0, 1))
    log_p_chosen, log_p_rejected = answer_log_probabilities(output.logits_BTV, batch).unbind(1)
    reference_chosen, reference_rejected = batch["reference"].to(log_p_chosen.dtype).unbind(1)
    total = pair_losses(loss, log_p_chosen - reference_chosen, log_p_rejected - reference_rejected).sum()
    for auxiliary in output.aux.values():
        total = total + len(log_p_chosen) * auxiliary
    return total


def answer_log_probabilities(logits_BTV: Tensor, batch: Part) -> Tensor:
    """Sums of log-probabilities over the answers' tokens, [P,2]."""
    log_p_BTV = F.log_softmax(logits_BTV, dim=-1)
    targets_BT = batch["targets"].flatten(0, 1).long()
    log_p_BT = log_p_BTV.gather(-1, targets_BT[..., None]).squeeze(-1)
    return (log_p_BT * batch["mask"].flatten(0, 1)).sum(-1).view(-1, 2)


def pair_losses(loss: PreferenceLoss, chosen_ratio: Tensor, rejected_ratio: Tensor) -> Tensor:
    """The loss of each pair [P], from the log ratios of policy and reference for both answers."""
    if isinstance(loss, DPO):
        rewards = loss.beta * chosen_ratio, loss.beta * rejected_ratio
        right, wrong = F.logsigmoid(rewards[0] - rewards[1]), F.logsigmoid(rewards[1] - rewards[0])
        return -(1 - loss.label_smoothing) * right - loss.label_smoothing * wrong
    if isinstance(loss, IPO):
        return (chosen_ratio - rejected_ratio - 0.5 / loss.tau) ** 2
    raise ValueError(f"{loss!r} is no loss of preferences")


def counted_pairs(batch: Part) -> Tensor:
    """How many pairs there are."""
    return torch.tensor(float(len(batch["tokens"])))
