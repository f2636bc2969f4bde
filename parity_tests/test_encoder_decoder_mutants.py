"""Seeded bugs of the kind that ports of an encoder-decoder have are caught."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch

from jaxdec.parity.comparison import Difference, require
from parity_tests.cases import Case
from parity_tests.checks import SEMANTIC_STAGES
from parity_tests.mutants import Mutant, Patch
from parity_tests.pairs import (  # noqa: F401 - the fixture works by being imported
    OURS,
    PAPER,
    TWIN,
    TWO_LAYERS,
    criterion_for_encoder_decoders,
)
from torchref.layers import attention, cross_attention, decoder_block, encoder_block
from torchref.layers.position import sinusoids
from torchref.models import encoder_decoder

MUTANTS: list[Mutant] = []


def mutant(stage: str, first: str, case: Case = PAPER) -> Callable[[Callable[[], Patch]], Callable[[], Patch]]:
    def register(apply: Callable[[], Patch]) -> Callable[[], Patch]:
        MUTANTS.append(Mutant(apply.__name__, apply, stage, first, case))
        return apply

    return register


def in_both_blocks(**changed: Any) -> Patch:
    """Functions of `residual` replaced in the blocks of encoder and decoder."""
    stack = ExitStack()
    for module in (encoder_block, decoder_block):
        stack.enter_context(patch.multiple(module, **changed))
    return stack


def cross(change: Callable[..., Any]) -> Patch:
    """The inputs of every cross attention changed: of the encoder's self-attention, which is one, too."""
    original = cross_attention.CrossAttention.forward
    return patch.object(
        cross_attention.CrossAttention,
        "forward",
        lambda self, x, memory, present: original(self, *change(x, memory, present)),
    )


@mutant("taps", "encoder.0.attention.out")
def source_mask_ignored() -> Patch:
    return cross(lambda x, memory, present: (x, memory, torch.ones_like(present)))


@mutant("taps", "encoder.0.attention.out")
def source_mask_inverted() -> Patch:
    return cross(lambda x, memory, present: (x, memory, ~present | (present.sum(-1, keepdim=True) == present.shape[1])))


@mutant("taps", "decoder.0.cross_attention.out")
def source_mask_ignored_by_the_decoder() -> Patch:
    return cross(lambda x, memory, present: (x, memory, present if x is memory else torch.ones_like(present)))


@mutant("taps", "decoder.0.cross_attention.key")
def cross_attention_reads_its_own_keys() -> Patch:
    return cross(lambda x, memory, present: (x, x, present[:, : x.shape[1]]))


@mutant("taps", "encoder.0.attention")
def norm_before_instead_of_after() -> Patch:
    return in_both_blocks(branch_input=lambda norm, x, place: norm(x), residual_sum=lambda norm, x, y, place: x + y)


@mutant("taps", "encoder.0.attention_norm")
def norm_of_the_branch_alone() -> Patch:
    return in_both_blocks(residual_sum=lambda norm, x, y, place: x + norm(y))


@mutant("taps", "encoder.0.attention")
def sines_and_cosines_in_halves() -> Patch:
    def halves(context: int, width: int, base: float) -> torch.Tensor:
        table = sinusoids(context, width, base)
        return torch.cat([table[:, 0::2], table[:, 1::2]], dim=-1)

    return patch.object(encoder_decoder, "sinusoids", halves)


@mutant("taps", "encoder.0.attention")
def embeddings_not_scaled() -> Patch:
    def embed(self: Any, tokens: torch.Tensor, *, source: bool) -> torch.Tensor:
        table = sinusoids(self.context, self.config.width, self.config.position.base)
        return self.token_embed(tokens) + table.to(self.token_embed.weight)[: tokens.shape[1]]

    return patch.object(encoder_decoder.EncoderDecoder, "embed", embed)


@mutant("taps", "decoder.0.attention.out")
def causal_mask_missing() -> Patch:
    attend = lambda q, k, v, is_causal: torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return patch.object(attention, "F", SimpleNamespace(scaled_dot_product_attention=attend))


@mutant("taps", "decoder.0.cross_attention", TWO_LAYERS)
def first_encoder_block_read_instead_of_the_last() -> Patch:
    def encode(self: Any, source: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        x = self.embed(source, source=True)
        first = x = self.encoder[0](x, present)
        for block in list(self.encoder)[1:]:
            x = block(x, present)
        return first

    return patch.object(encoder_decoder.EncoderDecoder, "encode", encode)


@mutant("gradients", "token_embed")
def source_cut_off_from_the_gradient() -> Patch:
    """Every output is right: only the encoder does not learn."""
    original = encoder_decoder.EncoderDecoder.encode
    return patch.object(
        encoder_decoder.EncoderDecoder, "encode", lambda self, *inputs: original(self, *inputs).detach()
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_seeded_bug_is_caught(mutant: Mutant) -> None:
    in_turn = [SEMANTIC_STAGES[name] for name in ("activations", "gradients")]
    with mutant.apply(), pytest.raises(Difference) as caught:
        require(comparison for check in in_turn for comparison in check(mutant.case, OURS, TWIN))
    first = caught.value.first
    print(f"{mutant.name}: {first}")
    assert (caught.value.stage, first.name[: len(mutant.first)]) == (mutant.stage, mutant.first)
