"""Seeded bugs that instruction finetuning has: in its mask, in its mean, and at the borders of packed entries."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import later_mutant
from torchref.layers.attention import attention
from torchref.training import loop

PAIR = "instruct"  # of `jaxdec.parity.pairs.later`


@later_mutant("loss", PAIR)
def response_mask_shifted_by_one() -> Patch:
    """The token that ends the prompt counts, and the end token does not."""
    original = loop.language_loss
    return patch.object(
        loop, "language_loss", lambda output, targets, mask: original(output, targets, mask.roll(-1, dims=1))
    )


@later_mutant("accumulation", PAIR)
def mean_of_the_rows_means() -> Patch:
    """A long response weighs no more than a short one, as soon as a batch is cut."""

    def accumulate(model: Any, batch: Any, parts: int, objective: Any = loop.LANGUAGE) -> torch.Tensor:
        leaves = {name: torch.from_numpy(leaf) for name, leaf in batch.items()}
        chunks = zip(*(leaf.chunk(parts) for leaf in leaves.values()), strict=True)
        cut = [dict(zip(leaves, part, strict=True)) for part in chunks]
        losses = [objective.loss(model, part) / objective.count(part) / parts for part in cut]
        sum(losses).backward()  # type: ignore[union-attr]
        return torch.stack(losses).sum().detach()

    return patch.object(loop, "accumulate_gradients", accumulate)


@later_mutant("blocks.0.attention", PAIR)
def entries_of_a_row_read_one_another() -> Patch:
    original: Any = attention.attend
    return patch.object(attention, "attend", lambda *inputs, **given: original(*inputs, **given | {"documents": None}))
