"""Position encodings: rotary angles, fixed sines, ALiBi slopes."""

from __future__ import annotations

import math
from typing import assert_never

import torch
from torch import Tensor

from jaxdec.config.positions import LinearScaling, Llama3Scaling, RoPE, YarnScaling
from torchref.layers.promotion import at_least_float32


def rope_frequencies(rope: RoPE, head_dim: int) -> tuple[Tensor, float]:
    """Radians per position of each pair of channels, float64 [C/2], and the factor of cosines and sines."""
    pair, scaling = torch.arange(head_dim // 2, dtype=torch.float64), rope.scaling
    plain = torch.pow(rope.theta, -2 * pair / head_dim)
    match scaling:
        case LinearScaling():
            return plain / scaling.factor, 1.0
        case Llama3Scaling():
            return llama3_frequencies(plain, scaling), 1.0
        case YarnScaling():
            factor = scaling.attention_factor
            factor = 1 + 0.1 * math.log(scaling.factor) if factor is None else factor
            return yarn_frequencies(plain, scaling, rope.theta), factor
        case None:
            return plain, 1.0
        case _:
            assert_never(scaling)


def llama3_frequencies(plain: Tensor, scaling: Llama3Scaling) -> Tensor:
    """Short wavelengths kept, long ones stretched by the factor, those between them by a share."""
    wavelength = 2 * math.pi / plain
    longest = scaling.original_context / scaling.low_frequency
    shortest = scaling.original_context / scaling.high_frequency
    kept = scaling.original_context / wavelength - scaling.low_frequency
    kept = kept / (scaling.high_frequency - scaling.low_frequency)
    between = (1 - kept) * plain / scaling.factor + kept * plain
    stretched = torch.where(wavelength > longest, plain / scaling.factor, between)
    return torch.where(wavelength < shortest, plain, stretched)


def yarn_frequencies(plain: Tensor, scaling: YarnScaling, theta: float) -> Tensor:
    """Peng et al. 2023, section 3.2: pair d turns original_context * theta^(-2 d / C) / (2 pi) times."""
    channels = 2 * len(plain)
    first, last = (
        channels * math.log(scaling.original_context / (2 * math.pi * turns)) / (2 * math.log(theta))
        for turns in (scaling.beta_fast, scaling.beta_slow)
    )
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, channels - 1)
    stretched = ((torch.arange(len(plain), dtype=plain.dtype) - first) / max(last - first, 0.001)).clamp(0, 1).to(plain)
    return plain * (1 - stretched) + plain / scaling.factor * stretched


def rotate(x_BHTC: Tensor, rope: RoPE, positions_BT: Tensor | None = None) -> Tensor:
    """Turns the pairs (c, c + C/2) of the token at position t by t times the frequency (Su et al. 2021, eq. 34).

    Of a head whose first channels alone turn, C counts these; the rest is put back behind them. Without
    `positions_BT` they are 0 to T - 1.
    """
    if rope.channels is not None and rope.channels != x_BHTC.shape[-1]:
        head = rotate(x_BHTC[..., : rope.channels], rope, positions_BT)
        return torch.cat((head, x_BHTC[..., rope.channels :]), dim=-1)
    wide = at_least_float32(x_BHTC)
    frequencies, factor = rope_frequencies(rope, x_BHTC.shape[-1])
    if positions_BT is None:
        positions_BT = torch.arange(x_BHTC.shape[2], device=wide.device)[None, :]
    angles_B1TC = (positions_BT[:, None, :, None] * frequencies.to(wide)).repeat(1, 1, 1, 2)
    first, second = wide.chunk(2, dim=-1)
    turned = wide * angles_B1TC.cos() + torch.cat([-second, first], dim=-1) * angles_B1TC.sin()
    return (factor * turned).to(x_BHTC.dtype)


def sinusoids(context: int, width: int, base: float) -> Tensor:
    """float64 [context, width]: sin in even channels, cos in odd ones (Vaswani et al. 2017, section 3.5)."""
    position = torch.arange(context, dtype=torch.float64)[:, None]
    frequency = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    table = torch.empty(context, width, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = torch.sin(position * frequency), torch.cos(position * frequency)
    return table


def alibi_slopes(heads: int, largest: float) -> Tensor:
    """float64 [H], a geometric series that ends at 2^-largest (Press et al. 2022, section 3)."""
    return torch.tensor([2 ** (-largest * head / heads) for head in range(1, heads + 1)], dtype=torch.float64)
