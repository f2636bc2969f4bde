"""Seeded bugs where documents share a training example and must not read one another."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch

import jaxdec.generation.decoding
from jaxdec.layers.attention import cache, documents
from jaxdec.models import decoder as jax_decoder
from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.decoding import decoding
from parity_tests.mutants.registry import mutant
from torchref.layers.attention import attention
from torchref.layers.documents import Documents, documents_of
from torchref.models import decoder

PACKED, FIRST = "documents", "blocks.0.attention"


def _found(change: Callable[[Documents, torch.Tensor], Documents]) -> Patch:
    """`change` makes other documents of those that were found, and of the tokens."""
    return patch.object(decoder, "documents_of", lambda config, tokens: change(documents_of(config, tokens), tokens))  # type: ignore[arg-type]


@mutant(FIRST, PACKED)
def border_ignored_by_attention() -> Patch:
    original: Any = attention.attend
    return patch.object(attention, "attend", lambda *inputs, **given: original(*inputs, **given | {"documents": None}))


@mutant(FIRST, PACKED)
def documents_read_the_one_before() -> Patch:
    original: Any = attention.attend

    def attend(*inputs: Any, documents: Documents, **given: Any) -> torch.Tensor:
        pairs = documents._replace(numbers_BT=documents.numbers_BT // 2)
        return original(*inputs, documents=pairs, **given)

    return patch.object(attention, "attend", attend)


@mutant("position_embed", PACKED)
def positions_go_on_over_a_border() -> Patch:
    slots = lambda tokens: torch.arange(tokens.shape[1]).expand_as(tokens)
    return _found(lambda found, tokens: found._replace(positions_BT=slots(tokens)))


@mutant("position_embed", PACKED)
def positions_from_one_after_a_border() -> Patch:
    later = lambda found: found.positions_BT + (found.numbers_BT > 0)
    return _found(lambda found, tokens: found._replace(positions_BT=later(found)))


@mutant("position_embed", PACKED)
def start_counted_to_the_document_before() -> Patch:
    def moved(found: Documents, tokens: torch.Tensor) -> Documents:
        begins = (tokens == 5).long()
        numbers = begins.cumsum(1) - begins
        same = numbers[:, :, None] == numbers[:, None, :]
        return Documents(numbers, same.tril(-1).sum(2))

    return _found(moved)


@mutant("generation", PACKED)
def cache_read_across_a_border() -> Patch:
    original = documents.document_starts
    changed = lambda value, tokens, positions, before: original(value, tokens, positions, None)
    return decoding(patch.object(jax_decoder, "document_starts", changed))


@mutant("generation", PACKED)
def rows_count_anew_from_a_border() -> Patch:
    """Positions in the document, where slots and keys need those in the row."""
    original = cache.token_positions

    def positions(count: int, kept: Any) -> Any:
        found = original(count, kept)
        return found if kept is None else found - kept.start_B[:, None]

    return decoding(patch.object(jax_decoder, "token_positions", positions))


@mutant("generation", PACKED)
def start_of_a_row_read_again_forgotten() -> Patch:
    original = jaxdec.generation.decoding.store

    def store(config: Any, kept: cache.Cache, read: cache.Cache, rows: Any) -> cache.Cache:
        return original(config, kept, read, rows)._replace(start_B=kept.start_B)

    return decoding(patch.object(jaxdec.generation.decoding, "store", store))
