"""GRPO (Shao et al. 2024, eq. 3 and 4), one answer after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from jaxdec.config.reinforce import Reinforce
from torchref.models.language_model import LanguageModel
from torchref.models.output import Output
from torchref.training.loop import Objective, Part


def group_advantages(stage: Reinforce, rewards_G: Tensor) -> Tensor:
    """What the answers of one group gain, from their rewards."""
    if (rewards_G == rewards_G[0]).all():
        return torch.zeros_like(rewards_G)
    gain_G = rewards_G - rewards_G.mean()
    return gain_G / gain_G.pow(2).mean().sqrt() if stage.baseline == "normalized" else gain_G


def token_objectives(
    stage: Reinforce, log_p_N: Tensor, sampled_N: Tensor, first_N: Tensor, advantage: Tensor
) -> Tensor:
    """What is maximised at each of the N tokens of an answer, from the log-probabilities that the model, the sampler
    and the model at step 0 give them."""
    ratio_N = (log_p_N - sampled_N).exp()
    bounded_N = ratio_N.clamp(1 - stage.clip, 1 + stage.clip)
    if_first_N = first_N - log_p_N
    return torch.minimum(ratio_N * advantage, bounded_N * advantage) - stage.kl * (if_first_N.exp() - if_first_N - 1)


def answer_objective(stage: Reinforce, objective_N: Tensor, window: int) -> Tensor:
    """The share of one answer in the sum."""
    match stage.average:
        case "sequence":
            return objective_N.mean()
        case "token":
            return objective_N.sum()
        case "window":
            return objective_N.sum() / window
        case other:
            raise ValueError(f"stage.average {other!r} is unknown")


def policy_loss(stage: Reinforce, model: LanguageModel, batch: Part) -> Tensor:
    """The sum over answers, or over their tokens. The model does not drop out: it is in evaluation meanwhile."""
    output = evaluated(model, batch["tokens"])
    log_p_BTV = torch.log_softmax(output.logits_BTV / stage.temperature, dim=-1)
    total = log_p_BTV.new_zeros(())
    for row, mask_T in enumerate(batch["mask"].bool()):
        if not mask_T.any():
            continue
        targets_N = batch["targets"][row][mask_T].long()
        log_p_N = log_p_BTV[row][mask_T].gather(-1, targets_N[:, None])[:, 0]
        sampled_N, first_N = (batch[name][row][mask_T].to(log_p_N) for name in ("sampler_log_p", "first_log_p"))
        objective_N = token_objectives(stage, log_p_N, sampled_N, first_N, batch["advantage"][row].to(log_p_N))
        total = total - answer_objective(stage, objective_N, mask_T.numel())
    for loss in output.aux.values():
        total = total + counted(stage, batch) * loss
    return total


def evaluated(model: LanguageModel, tokens_BT: Tensor) -> Output:
    """The model's output without dropout, whatever state it is in."""
    training = getattr(model, "training", False)
    if training:
        model.eval()
    output = model(tokens_BT)
    if training:
        model.train()
    return output


def counted(stage: Reinforce, batch: Part) -> Tensor:
    """What the sum is divided by."""
    return batch["mask"].sum() if stage.average == "token" else batch["mask"].any(dim=-1).sum()


def reinforcement(stage: Reinforce) -> Objective:
    """The objective of a stage."""
    return Objective(lambda model, batch: policy_loss(stage, model, batch), lambda batch: counted(stage, batch))
