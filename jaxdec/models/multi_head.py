"""Several attention heads side by side: each gathers by a question of its own, `out` mixes what they bring (Vaswani et
al. 2017, section 3.2.2).

H heads of D / H channels cost what one head of D channels costs, and the projection beside. Still no residual sum and
no norm: `logits = head(attention(token_embed + position_embed))`.

Initialisation: 1. token table, 2. position table, 3. query, key, value, out, 4. head; all normal(init_std), no biases.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.layers.attention import Attention
from jaxdec.layers.cache import Cache, token_positions
from jaxdec.layers.embed import Embed
from jaxdec.layers.linear import Linear, logits
from jaxdec.model_config import MultiHead as MultiHeadConfig
from jaxdec.models.output import Output
from jaxdec.sharding import constrain_batch


class MultiHead(nnx.Module):
    """tokens [B,T] -> Output. `config.vocab_size` must be known."""

    def __init__(self, config: MultiHeadConfig, *, rngs: nnx.Rngs):
        vocab, width, std = config.vocab_size, config.width, config.init_std
        assert vocab is not None, "resolve model.vocab_size from the tokenizer first"
        self.token_embed = Embed((vocab, width), ("vocab", "embed"), std, rngs=rngs)
        self.position_embed = Embed((config.context, width), (None, "embed"), std, rngs=rngs)
        self.attention = Attention(config.decoder, config.decoder.attention_of(0), std, rngs=rngs)
        self.head = Linear((width, vocab), ("embed", "vocab"), std, bias=False, rngs=rngs)

    def __call__(
        self, tokens_BT: jax.Array, dtype: jnp.dtype, cache: Cache | None = None, key: jax.Array | None = None
    ) -> Output:
        """`dtype` is the compute dtype; `cache` holds what was read before these tokens; nothing depends on `key`."""
        positions_BT = token_positions(tokens_BT.shape[1], cache)
        x_BTD = self.token_embed(tokens_BT, dtype) + self.position_embed(jnp.maximum(positions_BT, 0), dtype)
        x_BTD, layer = self.attention(constrain_batch(x_BTD), positions_BT, cache, cache and cache.layers[0], key)
        if cache is not None and layer is not None:
            cache = Cache((layer,), cache.length + tokens_BT.shape[1], cache.padding_B)
        return Output(logits(x_BTD, self.head.kernel[...]), cache, {}, {})
