"""Seeded bugs in the windows and filters of generation."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import torch
import torch.nn.functional as F

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import mutant
from torchref.generation import generate


@mutant("generation")
def window_slides_past_the_context() -> Patch:
    return patch.object(generate, "window_size", min)


@mutant("generation")
def top_p_without_the_token_that_crosses() -> Patch:
    original = generate.keep_first

    def keep_first(logits: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        crossing = kept & ~kept.roll(-1, -1) if kept.ndim == 2 else torch.zeros_like(kept)
        return original(logits, kept & ~crossing | (torch.arange(kept.shape[-1]) == 0))

    return patch.object(generate, "keep_first", keep_first)


@mutant("generation")
def temperature_after_the_filters() -> Patch:
    original = generate.shape_logits

    def shape(logits: torch.Tensor, sampling: generate.Sampling) -> torch.Tensor:
        cold = generate.Sampling(1.0, sampling.top_k, sampling.top_p, sampling.min_p)
        return original(logits, cold) / sampling.temperature

    return patch.object(generate, "shape_logits", shape)


@mutant("generation")
def top_k_keeps_one_more() -> Patch:
    original = generate.shape_logits
    return patch.object(
        generate, "shape_logits", lambda logits, s: original(logits, replace(s, top_k=s.top_k and s.top_k + 4))
    )


@mutant("generation")
def min_p_of_all_in_place_of_the_best() -> Patch:
    """Tokens less probable than min-p itself are dropped, not those less probable than min-p times the best."""
    original = generate.shape_logits

    def shape(logits: torch.Tensor, s: generate.Sampling) -> torch.Tensor:
        kept = original(logits, replace(s, min_p=None))
        return kept.masked_fill(torch.softmax(kept, -1) < (s.min_p or 0), -torch.inf)

    return patch.object(generate, "shape_logits", shape)


@mutant("generation")
def filters_left_out() -> Patch:
    return patch.object(generate, "shape_logits", lambda logits, s: logits / s.temperature)


@mutant("generation")
def noise_subtracted() -> Patch:
    """The draw is of another token; its law is the same only for noise that is symmetric, which Gumbel's is not."""
    original = generate.generate
    turned = lambda model, tokens, count, sampling, noise=None: original(
        model, tokens, count, sampling, None if noise is None else -noise
    )
    return patch.object(generate, "generate", turned)


@mutant("generation")
def prompt_without_its_first_token() -> Patch:
    original = generate.generate
    shorter = lambda model, tokens, *others: original(model, tokens[:, min(1, tokens.shape[1] - 1) :], *others)
    return patch.object(generate, "generate", shorter)


@mutant("generation")
def prompts_padded_without_a_mask() -> Patch:
    """Pads on the left that are read like any token."""
    original = generate.generate
    padded = lambda model, tokens, *others: original(model, F.pad(tokens, (2, 0)), *others)
    return patch.object(generate, "generate", padded)
