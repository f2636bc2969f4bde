"""Seeded bugs of the kind that ports of an encoder-decoder have."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import mutant, together
from torchref.layers import decoder_block, encoder_block
from torchref.layers.attention import cross_attention, kernel
from torchref.layers.position import sinusoids
from torchref.models import encoder_decoder

PAPER, TWO_LAYERS = "translation", "translation, two layers"


def in_both_blocks(**changed: Any) -> Patch:
    """Functions of `residual` replaced in the blocks of encoder and decoder."""
    return together(*(patch.multiple(module, **changed) for module in (encoder_block, decoder_block)))


def cross(change: Callable[..., Any]) -> Patch:
    """The inputs of every cross attention changed: of the encoder's self-attention, which is one, too."""
    original = cross_attention.CrossAttention.forward
    return patch.object(
        cross_attention.CrossAttention,
        "forward",
        lambda self, x, memory, present: original(self, *change(x, memory, present)),
    )


@mutant("encoder.0.attention", PAPER)
def source_mask_ignored() -> Patch:
    return cross(lambda x, memory, present: (x, memory, torch.ones_like(present)))


@mutant("encoder.0.attention", PAPER)
def source_mask_inverted() -> Patch:
    return cross(lambda x, memory, present: (x, memory, ~present | (present.sum(-1, keepdim=True) == present.shape[1])))


@mutant("decoder.0.cross_attention", PAPER)
def source_mask_ignored_by_the_decoder() -> Patch:
    return cross(lambda x, memory, present: (x, memory, present if x is memory else torch.ones_like(present)))


@mutant("decoder.0.cross_attention", PAPER)
def cross_attention_reads_its_own_keys() -> Patch:
    return cross(lambda x, memory, present: (x, x, present[:, : x.shape[1]]))


@mutant("encoder.0", PAPER)
def norm_before_instead_of_after() -> Patch:
    return in_both_blocks(branch_input=lambda norm, x, place: norm(x), residual_sum=lambda norm, x, y, place: x + y)


@mutant("encoder.0", PAPER)
def norm_of_the_branch_alone() -> Patch:
    return in_both_blocks(residual_sum=lambda norm, x, y, place: x + norm(y))


@mutant("model", PAPER)
def sines_of_source_and_target_in_halves() -> Patch:
    def halves(context: int, width: int, base: float) -> torch.Tensor:
        table = sinusoids(context, width, base)
        return torch.cat([table[:, 0::2], table[:, 1::2]], dim=-1)

    return patch.object(encoder_decoder, "sinusoids", halves)


@mutant("model", PAPER)
def token_vectors_not_scaled() -> Patch:
    def embed(self: Any, tokens: torch.Tensor, *, source: bool) -> torch.Tensor:
        table = sinusoids(self.context, self.config.width, self.config.position.base)
        return self.token_embed(tokens) + table.to(self.token_embed.weight)[: tokens.shape[1]]

    return patch.object(encoder_decoder.EncoderDecoder, "embed", embed)


@mutant("decoder.0.attention", PAPER)
def causal_mask_missing() -> Patch:
    attend = lambda q, k, v, is_causal: torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return patch.object(kernel, "F", SimpleNamespace(scaled_dot_product_attention=attend))


@mutant("model", TWO_LAYERS, named="decoder.0.cross_attention")
def first_encoder_block_read_instead_of_the_last() -> Patch:
    """Named by the first module that reads it: of several inputs of a module, only the first is forced."""

    def encode(self: Any, source: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        x = self.embed(source, source=True)
        first = x = self.encoder[0](x, present)
        for block in list(self.encoder)[1:]:
            x = block(x, present)
        return first

    return patch.object(encoder_decoder.EncoderDecoder, "encode", encode)


@mutant("model", PAPER)
def source_cut_off_from_the_gradient() -> Patch:
    """Every output is right: only the encoder does not learn."""
    original = encoder_decoder.EncoderDecoder.encode
    return patch.object(
        encoder_decoder.EncoderDecoder, "encode", lambda self, *inputs: original(self, *inputs).detach()
    )
