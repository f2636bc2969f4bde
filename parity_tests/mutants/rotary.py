"""Seeded bugs in rotary positions, their scaling, and sines."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import mutant
from parity_tests.mutants.tiny import MODELS
from torchref.layers import position
from torchref.layers.attention import attention, kernel
from torchref.models import decoder

MODERN, DENSE, YARN, SINES = "linear scaling", "modern, dense", "yarn", "sinusoidal"
FIRST = "blocks.0.attention"


def _rotated(turn: Callable[..., torch.Tensor]) -> Patch:
    def rotate(x: torch.Tensor, rope: Any, positions: None) -> torch.Tensor:
        frequencies, factor = position.rope_frequencies(rope, x.shape[-1])
        slots = torch.arange(x.shape[2], dtype=torch.float64)
        return turn(x, slots, frequencies, factor)

    return patch.object(attention, "rotate", rotate)


def _half_split(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


@mutant(FIRST, MODERN)
def rotary_pairs_interleaved() -> Patch:
    def turn(x: torch.Tensor, slots: torch.Tensor, frequencies: torch.Tensor, factor: float) -> torch.Tensor:
        angles, a, b = slots[:, None] * frequencies, x[..., 0::2], x[..., 1::2]
        turned = torch.stack([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)
        return turned.flatten(-2)

    return _rotated(turn)


@mutant(FIRST, MODERN)
def rotary_angle_negative_for_one_half() -> Patch:
    def turn(x: torch.Tensor, slots: torch.Tensor, frequencies: torch.Tensor, factor: float) -> torch.Tensor:
        angles = slots[:, None] * frequencies
        a, b = x.chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() - a * angles.sin()], -1)

    return _rotated(turn)


@mutant(FIRST, MODERN)
def rotary_theta_ten_times_larger() -> Patch:
    original = position.rope_frequencies
    larger = lambda rope, channels: original(replace(rope, theta=10 * rope.theta), channels)
    return patch.object(position, "rope_frequencies", larger)


@mutant(FIRST, MODERN)
def rotary_frequencies_over_half_the_channels() -> Patch:
    original = position.rope_frequencies
    return patch.object(position, "rope_frequencies", lambda rope, channels: (original(rope, channels)[0] ** 2, 1.0))


@mutant(FIRST, MODERN)
def rotary_scaling_left_out() -> Patch:
    original = position.rope_frequencies
    plain = lambda rope, channels: original(replace(rope, scaling=None), channels)
    return patch.object(position, "rope_frequencies", plain)


@mutant(FIRST, MODERN)
def queries_turned_one_position_ahead() -> Patch:
    """A common offset of queries and keys is invisible; an offset between them is not."""
    calls = iter(range(10**6))

    def turn(x: torch.Tensor, slots: torch.Tensor, frequencies: torch.Tensor, factor: float) -> torch.Tensor:
        ahead = 1 - next(calls) % 2
        return _half_split(x, (slots + ahead)[:, None] * frequencies)

    return _rotated(turn)


@mutant(FIRST, MODERN)
def values_turned_too() -> Patch:
    original = kernel.F.scaled_dot_product_attention
    rope = MODELS[MODERN].decoder.position  # type: ignore[union-attr]
    turned = lambda q, k, v, is_causal: original(q, k, position.rotate(v, rope), is_causal=True)  # type: ignore[arg-type]
    return patch.object(kernel, "F", SimpleNamespace(scaled_dot_product_attention=turned))


@mutant(FIRST, DENSE)
def llama3_ramp_reversed() -> Patch:
    original = position.llama3_frequencies
    turned = lambda plain, scaling: plain + plain / scaling.factor - original(plain, scaling)
    return patch.object(position, "llama3_frequencies", turned)


@mutant(FIRST, YARN)
def yarn_without_its_temperature() -> Patch:
    original = position.rope_frequencies
    return patch.object(position, "rope_frequencies", lambda rope, channels: (original(rope, channels)[0], 1.0))


@mutant(FIRST, YARN)
def yarn_ramp_not_rounded() -> Patch:
    return patch.object(
        position, "math", SimpleNamespace(floor=lambda x: x, ceil=lambda x: x, log=math.log, pi=math.pi)
    )


@mutant(FIRST, MODERN)
def linear_scaling_of_the_base() -> Patch:
    """The factor multiplies theta, which leaves the fastest pair as it was."""

    def frequencies(rope: Any, channels: int) -> Any:
        pair = torch.arange(channels // 2, dtype=torch.float64)
        return torch.pow(rope.theta * rope.scaling.factor, -2 * pair / channels), 1.0

    return patch.object(position, "rope_frequencies", frequencies)


@mutant(FIRST, DENSE)
def llama3_wavelengths_without_two_pi() -> Patch:
    return patch.object(position, "math", SimpleNamespace(pi=0.5))


@mutant(FIRST, DENSE)
def llama3_stretches_all() -> Patch:
    return patch.object(position, "llama3_frequencies", lambda plain, scaling: plain / scaling.factor)


@mutant(FIRST, YARN)
def yarn_temperature_on_queries_alone() -> Patch:
    calls = iter(range(10**6))
    original = position.rope_frequencies

    def frequencies(rope: Any, channels: int) -> Any:
        table, factor = original(rope, channels)
        return table, 1.0 if next(calls) % 2 else factor

    return patch.object(position, "rope_frequencies", frequencies)


@mutant(FIRST, YARN)
def yarn_ends_of_the_ramp_exchanged() -> Patch:
    original = position.yarn_frequencies

    def turned(plain: torch.Tensor, scaling: Any, theta: float) -> torch.Tensor:
        fields = vars(scaling) | {"beta_fast": scaling.beta_slow, "beta_slow": scaling.beta_fast}
        return original(plain, SimpleNamespace(**fields), theta)  # type: ignore[arg-type]

    return patch.object(position, "yarn_frequencies", turned)


@mutant(FIRST, MODERN)
def rotary_halves_turned_backwards() -> Patch:
    return _rotated(lambda x, slots, frequencies, factor: _half_split(x, -slots[:, None] * frequencies * 1.5))


@mutant("model", SINES)
def sines_of_the_next_position() -> Patch:
    original = position.sinusoids
    return patch.object(decoder, "sinusoids", lambda context, *others: original(context + 1, *others)[1:])


@mutant("model", SINES)
def sines_and_cosines_in_halves() -> Patch:
    original = position.sinusoids
    halves = lambda *inputs: torch.cat([original(*inputs)[:, 0::2], original(*inputs)[:, 1::2]], -1)
    return patch.object(decoder, "sinusoids", halves)
