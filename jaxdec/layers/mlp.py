"""The position-wise feed-forward layer: up, activation, down (Vaswani et al. 2017, section 3.3), plain or gated.

Every GELU form is named in full, because the frameworks' defaults differ: tanh in JAX, erf in torch.
"""

from __future__ import annotations

from functools import partial
from typing import assert_never

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, GatedMLP
from jaxdec.layers.linear import Linear, side_by_side

ACTIVATIONS = {
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),  # Hendrycks and Gimpel 2016, as in GPT-2
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_sigmoid": lambda x: x * jax.nn.sigmoid(1.702 * x),  # the same paper's other approximation
    "relu": jax.nn.relu,
    "relu_squared": lambda x: jnp.square(jax.nn.relu(x)),  # So et al. 2021, as in Nemotron
    "silu": jax.nn.silu,
}


class MLPModule(nnx.Module):
    """x [B,T,D] -> [B,T,D] through F hidden channels."""

    def __init__(self, config: DecoderConfig, part: MLP, residual_std: float, *, rngs: nnx.Rngs):
        width, hidden = config.width, part.resolved_hidden(config.width)
        self.activation = part.activation
        self.up = Linear((width, hidden), ("embed", "mlp"), config.init_std, config.bias, rngs=rngs)
        self.down = Linear((hidden, width), ("mlp", "embed"), residual_std, config.bias, rngs=rngs)

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        return self.down(ACTIVATIONS[self.activation](self.up(x_BTD)))


def gated(part: GatedMLP, gate: jax.Array, up: jax.Array) -> jax.Array:
    """activation(gate) * (up + shift), element by element, both cut off first where the config has a clamp."""
    if part.clamp is not None:
        gate, up = jnp.minimum(gate, part.clamp), jnp.clip(up, -part.clamp, part.clamp)
    return ACTIVATIONS[part.activation](gate) * (up + part.up_shift if part.up_shift else up)


class GatedMLPModule(nnx.Module):
    """x [B,T,D] -> down(silu(gate(x)) * up(x)) (Shazeer 2020, eq. 6), F hidden features in between."""

    def __init__(self, config: DecoderConfig, part: GatedMLP, residual_std: float, *, rngs: nnx.Rngs):
        width, hidden = config.width, part.hidden
        self.part = part
        self.gate = Linear((width, hidden), ("embed", "mlp"), config.init_std, config.bias, rngs=rngs)
        self.up = Linear((width, hidden), ("embed", "mlp"), config.init_std, config.bias, rngs=rngs)
        self.down = Linear((hidden, width), ("mlp", "embed"), residual_std, config.bias, rngs=rngs)

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        return self.down(gated(self.part, *side_by_side(x_BTD, (self.gate, self.up))))


def make_mlp(
    config: DecoderConfig, part: MLP | GatedMLP, residual_std: float, *, rngs: nnx.Rngs
) -> MLPModule | GatedMLPModule:
    """The feed-forward layer that `part` asks for."""
    match part:
        case MLP():
            return MLPModule(config, part, residual_std, rngs=rngs)
        case GatedMLP():
            return GatedMLPModule(config, part, residual_std, rngs=rngs)
        case _:
            assert_never(part)
