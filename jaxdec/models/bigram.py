"""The bigram model: the next token from the previous one alone (Shannon 1948, section 3).

`logits = head(token_embed[token])`: a table of V x V logits, factored through D channels. From D = V - 1 on it can hold
any table of probabilities; with fewer channels, only those whose logits have that rank. It has no positions and
reads nothing earlier: trained to convergence it reaches H(next | previous) of its text, and cannot go below.

Initialisation: 1. token table, 2. head; both normal(init_std).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import BigramConfig
from jaxdec.distributed.sharding import constrain_batch
from jaxdec.layers.attention.cache import Cache
from jaxdec.layers.embed import Embed
from jaxdec.layers.linear import Linear, logits
from jaxdec.layers.notes import note
from jaxdec.models.output import Output


class Bigram(nnx.Module):
    """tokens [B,T] -> Output. `config.vocab_size` must be known."""

    def __init__(self, config: BigramConfig, *, rngs: nnx.Rngs):
        vocab, width, std = config.vocab_size, config.width, config.init_std
        assert vocab is not None, "resolve model.vocab_size from the tokenizer first"
        self.token_embed = Embed((vocab, width), ("vocab", "embed"), std, rngs=rngs)
        self.head = Linear((width, vocab), ("embed", "vocab"), std, bias=False, rngs=rngs)

    def __call__(
        self, tokens_BT: jax.Array, dtype: jnp.dtype, cache: Cache | None = None, key: jax.Array | None = None
    ) -> Output:
        """`dtype` is the compute dtype; a `cache` only counts the tokens read, and nothing here depends on `key`."""
        x_BTD = constrain_batch(self.token_embed(tokens_BT, dtype))
        if cache is not None:
            cache = Cache((), cache.length + tokens_BT.shape[1], cache.padding_B)
        note("stream", x_BTD)
        return Output(self.read_out(x_BTD), cache, {}, {})

    def read_out(self, x_BTD: jax.Array) -> jax.Array:
        """What a stream says of the next token, logits [B,T,V]: the head."""
        return logits(x_BTD, self.head.kernel[...])
