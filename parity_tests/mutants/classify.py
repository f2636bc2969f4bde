"""Seeded bugs that a classifier has: where it reads, what a text weighs, and what its loss is divided by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.instruct import mean_of_the_rows_means
from parity_tests.mutants.registry import later_mutant
from torchref.training import classification

PAIR = "classify"  # of `jaxdec.parity.pairs.later`

later_mutant("accumulation", PAIR)(mean_of_the_rows_means)


@later_mutant("loss", PAIR)
def reads_the_first_pad() -> Patch:
    """One position too late, wherever there is one."""
    original = classification.class_logits

    def late(logits_BTC: torch.Tensor, lengths_B: torch.Tensor, at: Any) -> torch.Tensor:
        return original(logits_BTC, (lengths_B + 1).clamp(max=logits_BTC.shape[1]), at)

    return patch.object(classification, "class_logits", late)


@later_mutant("loss", PAIR)
def texts_of_all_classes_weigh_the_same() -> Patch:
    def unweighted(logits_BC: torch.Tensor, labels_B: torch.Tensor, reduction: str) -> torch.Tensor:
        return F.cross_entropy(logits_BC, labels_B).expand(len(labels_B))

    return patch.object(classification, "F", SimpleNamespace(cross_entropy=unweighted))
