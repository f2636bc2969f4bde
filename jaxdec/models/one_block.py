"""The transformer block between embeddings and head: attention and feed-forward layer, each added to what it read
(He et al. 2015) after a norm of it (Xiong et al. 2020, fig. 1b).

The residual sum lets the current token bypass the heads, and gives every parameter a short path to the loss. Unlike
`decoder` it has an untied head and no norm before it. `config.layers` blocks stand one after the other.

Initialisation: 1. token table, 2. position table, 3. block by block, as in `decoder`, 4. head; all normal(init_std),
but the projections back to the residual stream, whose std is init_std / sqrt(2 L). Norm scales are one, biases zero.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import OneBlockConfig
from jaxdec.distributed.sharding import constrain_batch
from jaxdec.layers.attention.cache import Cache, token_positions
from jaxdec.layers.block import Block
from jaxdec.layers.dropout import dropout
from jaxdec.layers.embed import Embed
from jaxdec.layers.linear import Linear, logits
from jaxdec.layers.notes import note
from jaxdec.models.output import Output


class OneBlock(nnx.Module):
    """tokens [B,T] -> Output. `config.vocab_size` must be known."""

    def __init__(self, config: OneBlockConfig, *, rngs: nnx.Rngs):
        vocab, width, std = config.vocab_size, config.width, config.init_std
        assert vocab is not None, "resolve model.vocab_size from the tokenizer first"
        self.dropout = config.dropout
        self.token_embed = Embed((vocab, width), ("vocab", "embed"), std, rngs=rngs)
        self.position_embed = Embed((config.context, width), (None, "embed"), std, rngs=rngs)
        self.blocks = nnx.List([Block(config.decoder, layer, rngs=rngs) for layer in range(config.layers)])
        self.head = Linear((width, vocab), ("embed", "vocab"), std, bias=False, rngs=rngs)

    def __call__(
        self, tokens_BT: jax.Array, dtype: jnp.dtype, cache: Cache | None = None, key: jax.Array | None = None
    ) -> Output:
        """`dtype` is the compute dtype; `key` means training; `cache` holds what was read before these tokens."""
        positions_BT = token_positions(tokens_BT.shape[1], cache)
        places = 1 + len(self.blocks)
        embed_key, *block_keys = [None] * places if key is None else jax.random.split(key, places)
        x_BTD = self.token_embed(tokens_BT, dtype) + self.position_embed(jnp.maximum(positions_BT, 0), dtype)
        x_BTD, layers = constrain_batch(dropout(x_BTD, self.dropout, embed_key)), []
        for index, block in enumerate(self.blocks):
            note("stream", x_BTD)
            x_BTD, layer, _ = block(x_BTD, positions_BT, cache, cache and cache.layers[index], block_keys[index])
            layers.append(layer)
        if cache is not None:
            cache = Cache(tuple(layers), cache.length + tokens_BT.shape[1], cache.padding_B)
        note("stream", x_BTD)
        return Output(self.read_out(x_BTD), cache, {}, {})

    def read_out(self, x_BTD: jax.Array) -> jax.Array:
        """What a stream says of the next token, logits [B,T,V]: the head."""
        return logits(x_BTD, self.head.kernel[...])
