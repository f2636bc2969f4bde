"""One attention head between embeddings and output head: each position becomes a mean of values, weighted by how well
their keys match its query (Vaswani et al. 2017, eq. 1).

No output projection, no residual sum, no norm: `logits = head(heads(token_embed + position_embed))`. What the head does
not gather is lost, the current token included.

Initialisation: 1. token table, 2. position table, 3. query, key, value, 4. head; all normal(init_std), no biases.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import DecoderConfig, MultiHeadConfig, SingleHeadConfig
from jaxdec.distributed.sharding import constrain_batch
from jaxdec.layers.attention.attention import Heads
from jaxdec.layers.attention.cache import Cache, token_positions
from jaxdec.layers.embed import Embed
from jaxdec.layers.linear import Linear, logits
from jaxdec.layers.notes import note
from jaxdec.models.output import Output


class SingleHead(nnx.Module):
    """tokens [B,T] -> Output. `config.vocab_size` must be known."""

    def __init__(self, config: SingleHeadConfig | MultiHeadConfig, *, rngs: nnx.Rngs):
        vocab, width, std = config.vocab_size, config.width, config.init_std
        assert vocab is not None, "resolve model.vocab_size from the tokenizer first"
        self.token_embed = Embed((vocab, width), ("vocab", "embed"), std, rngs=rngs)
        self.position_embed = Embed((config.context, width), (None, "embed"), std, rngs=rngs)
        self.attention = self.make_attention(config.decoder, rngs=rngs)
        self.head = Linear((width, vocab), ("embed", "vocab"), std, bias=False, rngs=rngs)

    def make_attention(self, config: DecoderConfig, *, rngs: nnx.Rngs) -> Heads:
        return Heads(config, 0, rngs=rngs)

    def __call__(
        self, tokens_BT: jax.Array, dtype: jnp.dtype, cache: Cache | None = None, key: jax.Array | None = None
    ) -> Output:
        """`dtype` is the compute dtype; `cache` holds what was read before these tokens; nothing depends on `key`."""
        positions_BT = token_positions(tokens_BT.shape[1], cache)
        x_BTD = self.token_embed(tokens_BT, dtype) + self.position_embed(jnp.maximum(positions_BT, 0), dtype)
        note("stream", x_BTD)
        x_BTD, layer = self.attention(constrain_batch(x_BTD), positions_BT, cache, cache and cache.layers[0], key)
        if cache is not None and layer is not None:
            cache = Cache((layer,), cache.length + tokens_BT.shape[1], cache.padding_B)
        note("stream", x_BTD)
        return Output(self.read_out(x_BTD), cache, {}, {})

    def read_out(self, x_BTD: jax.Array) -> jax.Array:
        """What a stream says of the next token, logits [B,T,V]: the head."""
        return logits(x_BTD, self.head.kernel[...])
