"""The loss of a classifier, which is `torch.nn.CrossEntropyLoss` with a weight for each text."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.config.classify import ReadAt
from torchref.models.language_model import LanguageModel
from torchref.training.loop import Objective, Part


def classification(at: ReadAt) -> Objective:
    """The sum of weight times cross entropy over texts, counted by their weights.

    A batch holds tokens int [B,T], lengths int [B], labels int [B], weights float [B].
    """

    def loss(model: LanguageModel, batch: Part) -> Tensor:
        output = model(batch["tokens"])
        logits_BC = class_logits(output.logits_BTV, batch["lengths"], at)
        losses_B = F.cross_entropy(logits_BC, batch["labels"].long(), reduction="none")
        weights_B = batch["weights"].to(losses_B.dtype)
        total = (weights_B * losses_B).sum()
        for auxiliary in output.aux.values():
            total = total + weights_B.sum() * auxiliary
        return total

    return Objective(loss, lambda batch: batch["weights"].double().sum())


def class_logits(logits_BTC: Tensor, lengths_B: Tensor, at: ReadAt) -> Tensor:
    """The row of each text that is read. Raises ValueError for a place that is not known."""
    if at == "last_token":
        return logits_BTC[torch.arange(len(lengths_B)), lengths_B.long() - 1]
    if at == "last_position":
        return logits_BTC[:, -1, :]
    raise ValueError(f"no place {at!r}")
