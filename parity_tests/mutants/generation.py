"""Seeded bugs in the windows and filters of generation."""

from __future__ import annotations

from unittest.mock import patch

import torch

from parity_tests.mutants.registry import Patch, mutant
from torchref import generate

# Generation


@mutant("greedy", "prompt 2")
def window_slides_past_the_context() -> Patch:
    return patch.object(generate, "window_size", min)


@mutant("sampling", "prompt")
def top_p_without_the_token_that_crosses() -> Patch:
    original = generate.keep_first

    def keep_first(logits: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        crossing = kept & ~kept.roll(-1, -1) if kept.ndim == 2 else torch.zeros_like(kept)
        return original(logits, kept & ~crossing | (torch.arange(kept.shape[-1]) == 0))

    return patch.object(generate, "keep_first", keep_first)


@mutant("sampling", "prompt")
def temperature_after_the_filters() -> Patch:
    original = generate.shape_logits

    def shape(logits: torch.Tensor, sampling: generate.Sampling) -> torch.Tensor:
        cold = generate.Sampling(1.0, sampling.top_k, sampling.top_p, sampling.min_p)
        return original(logits, cold) / sampling.temperature

    return patch.object(generate, "shape_logits", shape)
