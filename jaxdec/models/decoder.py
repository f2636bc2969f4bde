"""The decoder: embeddings, pre-norm blocks, a final norm, a head (GPT-2, Radford et al. 2019).

Initialisation, in the order in which keys are drawn: 1. token table, normal(init_std); 2. position table,
normal(position.init_std); 3. block by block: query, key, value, out, up, down, all normal(init_std) but out and down,
whose std is init_std / sqrt(2 L); 4. head, if untied. Norm scales are one, all biases zero.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config import ModelConfig
from jaxdec.layers.block import Block
from jaxdec.layers.cache import Cache
from jaxdec.layers.dropout import dropout
from jaxdec.layers.embed import Embed
from jaxdec.layers.linear import Linear, logits
from jaxdec.layers.norm import LayerNorm
from jaxdec.models.output import Output
from jaxdec.sharding import constrain_batch


class Decoder(nnx.Module):
    """tokens [B,T] -> Output. `config.vocab_size` must be known."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        vocab, width, std = config.vocab_size, config.width, config.init_std
        assert vocab is not None, "resolve model.vocab_size from the tokenizer first"
        self.dropout = config.dropout
        self.token_embed = Embed((vocab, width), ("vocab", "embed"), std, rngs=rngs)
        self.position_embed = Embed((config.context, width), (None, "embed"), config.position.init_std, rngs=rngs)
        self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.layers)])
        self.final_norm = LayerNorm(width, config.norm, config.bias)
        head = None if config.tied_head else Linear((width, vocab), ("embed", "vocab"), std, bias=False, rngs=rngs)
        self.head = head  # assigned once: nnx fixes then whether an attribute holds parameters

    def __call__(
        self, tokens_BT: jax.Array, dtype: jnp.dtype, cache: Cache | None = None, key: jax.Array | None = None
    ) -> Output:
        """`dtype` is the compute dtype; `key` turns dropout on; `cache` holds what was read before these tokens."""
        positions_BT = jnp.arange(tokens_BT.shape[1])[None, :]
        if cache is not None:  # pads get row 0; no query ever sees them
            positions_BT = jnp.maximum(positions_BT + cache.length - cache.padding_B[:, None], 0)
        places = 1 + len(self.blocks)
        embed_key, *block_keys = [None] * places if key is None else jax.random.split(key, places)
        x_BTD = self.token_embed(tokens_BT, dtype) + self.position_embed(positions_BT, dtype)
        x_BTD = constrain_batch(dropout(x_BTD, self.dropout, embed_key))
        layers = []
        for index, block in enumerate(self.blocks):
            x_BTD, layer = block(x_BTD, cache, cache and cache.layers[index], block_keys[index])
            layers.append(layer)
        x_BTD = self.final_norm(x_BTD)
        logits_BTV = self.token_embed.attend(x_BTD) if self.head is None else logits(x_BTD, self.head.kernel[...])
        if cache is not None:
            cache = Cache(tuple(layers), cache.length + tokens_BT.shape[1], cache.padding_B)
        return Output(logits_BTV, cache, {})
