"""Targets of an encoder-decoder by beam search, one source at a time and without a cache: the plain form with which
the compiled search of a batch is compared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Hypothesis:
    """The tokens of a target so far, with the end where it has one, and their log-probability in nats."""

    tokens: tuple[int, ...]
    log_p: float

    def ended(self, boundary: int) -> bool:
        return self.tokens[-1:] == (boundary,)

    def score(self, length_penalty: float) -> float:
        """log p / ((5 + n) / 6)^a (Wu et al. 2016, eq. 14, without coverage)."""
        return self.log_p / ((5 + len(self.tokens)) / 6) ** length_penalty


@torch.no_grad()
def beam_search(
    model: nn.Module, source_S: Tensor, *, boundary: int, length: int, width: int, length_penalty: float
) -> Hypothesis:
    """The best target of at most `length` tokens that a beam of that width finds; a beam of 1 is greedy decoding.

    `boundary` begins and ends targets. The source holds no padding.
    """
    source_1S = source_S[None]
    mask_1S = torch.ones(source_1S.shape)
    beam = [Hypothesis((), 0.0)]
    for _ in range(length):
        candidates = []
        for one in beam:
            if one.ended(boundary):
                candidates.append(one)
                continue
            logits_BTV = model(torch.tensor([[boundary, *one.tokens]]), source_1S, mask_1S).logits_BTV
            log_p_V = torch.log_softmax(logits_BTV[0, -1], dim=-1).tolist()
            candidates += [Hypothesis((*one.tokens, token), one.log_p + p) for token, p in enumerate(log_p_V)]
        beam = sorted(candidates, key=lambda one: one.score(length_penalty), reverse=True)[:width]
        if all(one.ended(boundary) for one in beam):
            break
    return beam[0]
