"""Seeded bugs in the candidate: its cache, its ring of a window, and how rows of a batch are padded and moved.

Programs that were compiled before would not see a patch, and those compiled with it must not outlive it: the decoder
is one whose config differs in how it is initialised, which decoding does not read.
"""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp

import jaxdec.generation.decoding
from jaxdec.layers.attention import cache
from jaxdec.models.functional import Model
from jaxdec.parity.certificate.mutant import Patch
from jaxdec.parity.pairs.jax_twin import JaxTwin
from parity_tests.mutants.registry import mutant, together

LOCAL = "local, rotary"
used = itertools.count(1)


def decoding(*patches: Patch) -> Patch:
    """The patches, and decoders of their own while they hold."""
    number = next(used)

    def generate(self: Any, params: Any, prompts: Any, count: int, precision: str, *others: Any) -> Any:
        config = self.run.at(precision)
        model = Model(replace(config.model, init_std=config.model.init_std + 1e-9 * number), config.precision)
        with patch.object(JaxTwin, "model", lambda self, precision: model):
            return original(self, params, prompts, count, precision, *others)

    original = JaxTwin.generate
    return together(patch.object(JaxTwin, "generate", generate), *patches)


@mutant("generation", LOCAL)
def ring_written_one_slot_late() -> Patch:
    original = cache._write_ring
    return decoding(patch.object(cache, "_write_ring", lambda ring, new, at: original(ring, new, at + 1)))


@mutant("generation", LOCAL)
def ring_positions_from_one() -> Patch:
    original = cache._ring_positions
    return decoding(patch.object(cache, "_ring_positions", lambda size, tokens: original(size, tokens) + 1))


@mutant("generation", LOCAL)
def ring_one_slot_short() -> Patch:
    """The oldest token of a window is written over too soon."""
    original = cache._write_ring
    late = lambda ring, new, at: original(ring.at[:, 0].set(0), new, at)
    return decoding(patch.object(cache, "_write_ring", late))


@mutant("generation")
def padding_not_taken_off_the_positions() -> Patch:
    def positions(count: int, kept: cache.Cache | None) -> jax.Array:
        slots = jnp.arange(count)[None, :]
        return slots if kept is None else slots + kept.length + 0 * kept.padding_B[:, None]

    return decoding(_everywhere("token_positions", positions))


@mutant("generation")
def pads_seen_as_keys() -> Patch:
    original = cache.extend

    def extend(*given: Any) -> Any:
        layer, (keys, values, positions) = original(*given)
        return layer, (keys, values, jnp.abs(positions))

    return decoding(_everywhere("extend", extend))


@mutant("generation")
def values_cached_as_keys() -> Patch:
    original = cache.extend
    return decoding(_everywhere("extend", lambda layer, k, v, *others: original(layer, k, k, *others)))


@mutant("generation")
def padding_of_a_row_read_again_forgotten() -> Patch:
    original = jaxdec.generation.decoding.store

    def store(config: Any, kept: cache.Cache, read: cache.Cache, rows: jax.Array) -> cache.Cache:
        return original(config, kept, read, rows)._replace(padding_B=kept.padding_B)

    return decoding(patch.object(jaxdec.generation.decoding, "store", store))


def _everywhere(name: str, changed: Any) -> Patch:
    """In every module that has imported the function by name."""
    import sys

    original = getattr(cache, name)
    modules = [
        module
        for key, module in list(sys.modules.items())
        if key.startswith("jaxdec.") and getattr(module, name, None) is original
    ]
    return together(*(patch.object(module, name, changed) for module in modules))
