"""The position-wise feed-forward layer: up, activation, down (Vaswani et al. 2017, section 3.3).

Every GELU form is named in full, because the frameworks' defaults differ: tanh in JAX, erf in torch.
"""

from __future__ import annotations

from functools import partial

import jax
from flax import nnx

from jaxdec.config import ModelConfig
from jaxdec.layers.linear import Linear

ACTIVATIONS = {
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),  # Hendrycks and Gimpel 2016, as in GPT-2
    "gelu": partial(jax.nn.gelu, approximate=False),
    "relu": jax.nn.relu,
}


class MLP(nnx.Module):
    """x [B,T,D] -> [B,T,D] through F = expansion * D channels."""

    def __init__(self, config: ModelConfig, residual_std: float, *, rngs: nnx.Rngs):
        width, hidden = config.width, config.mlp.expansion * config.width
        self.activation = config.mlp.activation
        self.up = Linear((width, hidden), ("embed", "mlp"), config.init_std, config.bias, rngs=rngs)
        self.down = Linear((hidden, width), ("mlp", "embed"), residual_std, config.bias, rngs=rngs)

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        return self.down(ACTIVATIONS[self.activation](self.up(x_BTD)))
