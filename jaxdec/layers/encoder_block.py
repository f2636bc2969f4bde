"""A block of the encoder: self-attention over the whole source, and a feed-forward layer (Vaswani et al. 2017,
section 3.1)."""

from __future__ import annotations

import jax
from flax import nnx

from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.layers.attention.cross_attention import CrossAttention
from jaxdec.layers.dropout import dropout
from jaxdec.layers.mlp import make_mlp
from jaxdec.layers.norm import make_norm
from jaxdec.layers.residual import NormPlace, branch_input, residual_sum


class EncoderBlock(nnx.Module):
    """x [B,S,D] -> [B,S,D]. Residual projections start smaller by sqrt(2 L)."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs):
        residual_std = config.init_std / (2 * config.layers) ** 0.5
        self.norm_place: NormPlace = config.norm_place
        self.dropout = config.dropout
        self.attention_norm = make_norm(config.width, config.norm, config.bias)
        self.attention = CrossAttention(config.decoder, residual_std, rngs=rngs)
        self.mlp_norm = make_norm(config.width, config.norm, config.bias)
        self.mlp = make_mlp(config.decoder, config.mlp, residual_std, rngs=rngs)

    def __call__(self, x_BSD: jax.Array, present_BS: jax.Array, key: jax.Array | None) -> jax.Array:
        """`present_BS` is True where the source has a token; a key means training."""
        weights_key, attention_key, mlp_key = (None,) * 3 if key is None else jax.random.split(key, 3)
        y_BSD = branch_input(self.attention_norm, x_BSD, self.norm_place)
        y_BSD = dropout(
            self.attention(y_BSD, self.attention.read(y_BSD), present_BS, weights_key), self.dropout, attention_key
        )
        x_BSD = residual_sum(self.attention_norm, x_BSD, y_BSD, self.norm_place)
        y_BSD = dropout(self.mlp(branch_input(self.mlp_norm, x_BSD, self.norm_place)), self.dropout, mlp_key)
        return residual_sum(self.mlp_norm, x_BSD, y_BSD, self.norm_place)
