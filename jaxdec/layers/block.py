"""A pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x)) (Radford et al. 2019, section 2.3)."""

from __future__ import annotations

import jax
from flax import nnx

from jaxdec.config import ModelConfig
from jaxdec.layers.attention import Attention
from jaxdec.layers.cache import Cache, LayerCache
from jaxdec.layers.dropout import dropout
from jaxdec.layers.mlp import MLP
from jaxdec.layers.norm import LayerNorm


class Block(nnx.Module):
    """x [B,T,D] -> [B,T,D]. Residual projections start smaller by sqrt(2 L), so that its variance stays put."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        residual_std = config.init_std / (2 * config.layers) ** 0.5
        self.dropout = config.dropout
        self.attention_norm = LayerNorm(config.width, config.norm, config.bias)
        self.attention = Attention(config, residual_std, rngs=rngs)
        self.mlp_norm = LayerNorm(config.width, config.norm, config.bias)
        self.mlp = MLP(config, residual_std, rngs=rngs)

    def __call__(
        self, x_BTD: jax.Array, cache: Cache | None, layer: LayerCache | None, key: jax.Array | None
    ) -> tuple[jax.Array, LayerCache | None]:
        weights_key, attention_key, mlp_key = (None,) * 3 if key is None else jax.random.split(key, 3)
        y_BTD, layer = self.attention(self.attention_norm(x_BTD), cache, layer, weights_key)
        x_BTD = x_BTD + dropout(y_BTD, self.dropout, attention_key)
        x_BTD = x_BTD + dropout(self.mlp(self.mlp_norm(x_BTD)), self.dropout, mlp_key)
        return x_BTD, layer
