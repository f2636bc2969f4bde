"""Continue a text token by token, without a cache: the plain form with which a cached decoder is compared."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from torchref.models.language_model import LanguageModel


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: temperature 0 takes the most probable one; None turns a filter off."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None


def window_size(tokens: int, context: int) -> int:
    """How many of its newest tokens a text of `tokens` is continued from: all, until the context is full; then the
    newest half is read again from position 0, and the window grows back to the context, over and over."""
    window = 0
    for _ in range(tokens):
        window = window + 1 if window < context else max(1, context // 2)
    return window


def shape_logits(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """The logits to draw from, -inf where dropped. Each filter judges what the one before it left.

    Top-k (Fan et al. 2018) keeps the k most probable tokens; top-p (Holtzman et al. 2020) the fewest most probable ones
    whose probabilities reach p; min-p (Nguyen et al. 2024) those at least p times as probable as the best.
    """
    logits_BV = logits_BV / sampling.temperature
    if sampling.top_k is not None:
        logits_BV = keep_first(logits_BV, torch.arange(logits_BV.shape[-1]) < sampling.top_k)
    if sampling.top_p is not None and sampling.top_p < 1:
        ranked_BV = torch.softmax(logits_BV, dim=-1).sort(dim=-1, descending=True, stable=True).values
        before_BV = ranked_BV.cumsum(-1) - ranked_BV
        logits_BV = keep_first(logits_BV, before_BV < sampling.top_p)
    if sampling.min_p:
        least_B1 = logits_BV.max(-1, keepdim=True).values + math.log(sampling.min_p)
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
    return logits_BV


def keep_first(logits_BV: Tensor, kept: Tensor) -> Tensor:
    """Drops the tokens whose rank is not in `kept`, [V] or [B,V] by rank; among equals the lower id comes first."""
    order_BV = logits_BV.sort(dim=-1, descending=True, stable=True).indices
    dropped_BV = torch.zeros_like(logits_BV, dtype=torch.bool).scatter(-1, order_BV, ~kept.expand(logits_BV.shape))
    return logits_BV.masked_fill(dropped_BV, -torch.inf)


def generate(
    model: LanguageModel, tokens_BT: Tensor, count: int, sampling: Sampling, gumbel_NBV: Tensor | None = None
) -> Tensor:
    """`count` new tokens for each row, [B,count]. Rows hold equally many tokens.

    `gumbel_NBV`, when given, is the noise of the draws (Gumbel-max: the largest of logits + noise is a sample), so that
    two frameworks can draw alike.
    """
    start = tokens_BT.shape[1]
    with torch.no_grad():
        for n in range(count):
            window_BT = tokens_BT[:, -window_size(tokens_BT.shape[1], model.context) :]
            logits_BV = model(window_BT).logits_BTV[:, -1]
            if sampling.temperature > 0:
                logits_BV = shape_logits(logits_BV, sampling)
                noise_BV = -torch.log(-torch.log(torch.rand_like(logits_BV))) if gumbel_NBV is None else gumbel_NBV[n]
                logits_BV = logits_BV + noise_BV
            tokens_BT = torch.cat([tokens_BT, logits_BV.argmax(-1, keepdim=True).to(tokens_BT.dtype)], dim=1)
    return tokens_BT[:, start:]
