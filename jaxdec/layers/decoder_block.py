"""A block of the decoder: causal self-attention, attention to the encoded source, a feed-forward layer (Vaswani et al.
2017, section 3.1)."""

from __future__ import annotations

import jax
from flax import nnx

from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.layers.attention.attention import Attention
from jaxdec.layers.attention.cache import Cache, LayerCache
from jaxdec.layers.attention.cross_attention import CrossAttention
from jaxdec.layers.dropout import dropout
from jaxdec.layers.mlp import make_mlp
from jaxdec.layers.norm import make_norm
from jaxdec.layers.residual import NormPlace, branch_input, residual_sum


class DecoderBlock(nnx.Module):
    """x [B,T,D] -> [B,T,D]. Residual projections start smaller by sqrt(2 L)."""

    def __init__(self, config: EncoderDecoderConfig, layer: int, *, rngs: nnx.Rngs):
        residual_std = config.init_std / (2 * config.layers) ** 0.5
        self.norm_place: NormPlace = config.norm_place
        self.dropout = config.dropout
        self.attention_norm = make_norm(config.width, config.norm, config.bias)
        self.attention = Attention(config.decoder, layer, residual_std, rngs=rngs)
        self.cross_attention_norm = make_norm(config.width, config.norm, config.bias)
        self.cross_attention = CrossAttention(config.decoder, residual_std, rngs=rngs)
        self.mlp_norm = make_norm(config.width, config.norm, config.bias)
        self.mlp = make_mlp(config.decoder, config.mlp, residual_std, rngs=rngs)

    def __call__(
        self,
        x_BTD: jax.Array,
        positions_BT: jax.Array,
        source: tuple[LayerCache, jax.Array],
        cache: Cache | None,
        layer: LayerCache | None,
        key: jax.Array | None,
    ) -> tuple[jax.Array, LayerCache | None]:
        """The new x and this layer's cache. `source`: keys and values of the source, and where it has a token [B,S]."""
        keys = [None] * 5 if key is None else jax.random.split(key, 5)
        y_BTD = branch_input(self.attention_norm, x_BTD, self.norm_place)
        y_BTD, layer = self.attention(y_BTD, positions_BT, cache, layer, keys[0])
        x_BTD = residual_sum(self.attention_norm, x_BTD, dropout(y_BTD, self.dropout, keys[1]), self.norm_place)
        y_BTD = self.cross_attention(branch_input(self.cross_attention_norm, x_BTD, self.norm_place), *source, keys[2])
        x_BTD = residual_sum(self.cross_attention_norm, x_BTD, dropout(y_BTD, self.dropout, keys[3]), self.norm_place)
        y_BTD = self.mlp(branch_input(self.mlp_norm, x_BTD, self.norm_place))
        return residual_sum(self.mlp_norm, x_BTD, dropout(y_BTD, self.dropout, keys[4]), self.norm_place), layer
