"""Position encodings: rotary angles, fixed sines, ALiBi slopes.

All tables are computed in float64 by numpy while tracing and enter the program in at least float32: the angle of a late
position times a high frequency has no digits left in bfloat16.
"""

from __future__ import annotations

import math
from typing import assert_never

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.config.positions import LinearScaling, Llama3Scaling, RoPE, YarnScaling
from jaxdec.layers.promotion import at_least_float32


def rope_frequencies(rope: RoPE, channels: int) -> tuple[np.ndarray, float]:
    """Radians per position of each pair of C channels that turn, float64 [C/2], and the factor of the rotated vectors.

    theta^(-2 i / C) (Su et al. 2021, eq. 15), changed by the scaling. Only YaRN has a factor other than 1.
    """
    plain = rope.theta ** (-np.arange(0, channels, 2, dtype=np.float64) / channels)
    match rope.scaling:
        case LinearScaling(factor=factor):
            return plain / factor, 1.0
        case Llama3Scaling() as scaling:
            return _llama3(plain, scaling), 1.0
        case YarnScaling() as scaling:
            factor = scaling.attention_factor
            return _yarn(plain, scaling, rope.theta), 0.1 * math.log(scaling.factor) + 1 if factor is None else factor
        case None:
            return plain, 1.0
        case _:
            assert_never(rope.scaling)


def _llama3(plain: np.ndarray, scaling: Llama3Scaling) -> np.ndarray:
    """Between the two wavelengths the share of the plain frequency grows with the turns per original context."""
    turns = scaling.original_context * plain / (2 * np.pi)
    share = (turns - scaling.low_frequency) / (scaling.high_frequency - scaling.low_frequency)
    share = np.clip(share, 0, 1)
    return share * plain + (1 - share) * plain / scaling.factor


def _yarn(plain: np.ndarray, scaling: YarnScaling, theta: float) -> np.ndarray:
    """NTK-by-parts (Peng et al. 2023, eq. 19 to 23): a ramp over the index of the pair, between the two at which a
    channel turns `beta_fast` and `beta_slow` times in the original context."""
    pairs = len(plain)

    def pair_with(turns: float) -> float:
        return pairs * math.log(scaling.original_context / (turns * 2 * math.pi)) / math.log(theta)

    low, high = pair_with(scaling.beta_fast), pair_with(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * pairs - 1)
    share = 1 - np.clip((np.arange(pairs) - low) / max(high - low, 1e-3), 0, 1)
    return share * plain + (1 - share) * plain / scaling.factor


def rotate(x_BTHC: jax.Array, positions_BT: jax.Array, rope: RoPE) -> jax.Array:
    """Turns channel c with channel c + C/2 by the angle of the position (Su et al. 2021, eq. 34); keeps x's dtype.

    With `rope.channels` only these turn, as a head of that size would; the others pass as they are.
    """
    turned = rope.turned(x_BTHC.shape[-1])
    if turned < x_BTHC.shape[-1]:
        first, rest = jnp.split(x_BTHC, [turned], axis=-1)
        return jnp.concatenate([rotate(first, positions_BT, rope), rest], axis=-1)
    frequencies, factor = rope_frequencies(rope, turned)
    wide_BTHC = at_least_float32(x_BTHC)
    frequencies = jnp.asarray(frequencies, wide_BTHC.dtype)[None, None, None, :]
    angles = positions_BT[..., None, None].astype(wide_BTHC.dtype) * frequencies
    cos, sin = factor * jnp.cos(angles), factor * jnp.sin(angles)  # [B,T,1,C/2]
    first, second = jnp.split(wide_BTHC, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x_BTHC.dtype)


def sinusoids(context: int, width: int, base: float) -> np.ndarray:
    """float64 [context, width]: sin in even channels, cos in odd ones (Vaswani et al. 2017, section 3.5)."""
    angles = np.arange(context)[:, None] * base ** (-np.arange(0, width, 2, dtype=np.float64) / width)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(context, width)


def alibi_slopes(heads: int, largest: float) -> np.ndarray:
    """float64 [H]: 2^(-largest h / H) for head h = 1 .. H (Press et al. 2022, section 3)."""
    return 2.0 ** (-largest * np.arange(1, heads + 1) / heads)
