"""The original transformer (Vaswani et al. 2017): an encoder reads a source, a decoder writes its target token by token
and attends to the encoded source in every block.

Source and target share one token table, which is also the head (section 3.4 there) unless the config asks for another.
Token vectors are multiplied by sqrt(D), as in the paper: the table is also the head and therefore drawn small, and
without the factor they would be much smaller than the sinusoids, which have size 1.

Initialisation, in the order in which keys are drawn: 1. token table, normal(init_std); 2. position tables of source and
target, if learned, normal(position.init_std); 3. encoder, then decoder, block by block: query, key, value, out of each
attention, then the feed-forward layer, all normal(init_std) but the projections back to the residual stream, whose
std is init_std / sqrt(2 L); 4. head, if untied. Norm scales are one, all biases zero.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.config.positions import Learned, Sinusoidal
from jaxdec.distributed.sharding import constrain_batch
from jaxdec.layers.attention.cache import Cache, LayerCache, token_positions
from jaxdec.layers.decoder_block import DecoderBlock
from jaxdec.layers.dropout import dropout
from jaxdec.layers.embed import Embed
from jaxdec.layers.encoder_block import EncoderBlock
from jaxdec.layers.linear import Linear, logits
from jaxdec.layers.norm import make_norm
from jaxdec.layers.notes import note
from jaxdec.layers.position import sinusoids
from jaxdec.models.output import Output


class Memory(NamedTuple):
    """A source as the decoder reads it: keys and values for each of its blocks, and where there is a token [B,S]."""

    layers: tuple[LayerCache, ...]
    present_BS: jax.Array


class EncoderDecoder(nnx.Module):
    """tokens [B,T], source [B,S], source_mask [B,S] -> Output. `config.vocab_size` must be known."""

    inputs: ClassVar[tuple[str, ...]] = ("source", "source_mask")

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs):
        vocab, width, std, position = config.vocab_size, config.width, config.init_std, config.position
        assert vocab is not None, "resolve model.vocab_size from the tokenizer first"
        self.config = config
        self.token_embed = Embed((vocab, width), ("vocab", "embed"), std, rngs=rngs)
        if isinstance(position, Learned):
            self.source_position_embed = Embed((config.context, width), (None, "embed"), position.init_std, rngs=rngs)
            self.position_embed = Embed((config.context, width), (None, "embed"), position.init_std, rngs=rngs)
        self.encoder = nnx.List([EncoderBlock(config, rngs=rngs) for _ in range(config.layers)])
        self.decoder = nnx.List([DecoderBlock(config, layer, rngs=rngs) for layer in range(config.layers)])
        # Blocks with the norm after the sum end normalised already.
        before = config.norm_place == "pre"
        norms = [make_norm(width, config.norm, config.bias) if before else None for _ in range(2)]
        self.encoder_norm, self.decoder_norm = norms
        self.head = None if config.tied_head else Linear((width, vocab), ("embed", "vocab"), std, False, rngs=rngs)

    def embed(self, tokens_BT: jax.Array, positions_BT: jax.Array, dtype: jnp.dtype, *, source: bool) -> jax.Array:
        """Token vectors times sqrt(D), with the position's."""
        x_BTD, position = self.token_embed(tokens_BT, dtype) * self.config.width**0.5, self.config.position
        match position:
            case Learned():
                return x_BTD + (self.source_position_embed if source else self.position_embed)(positions_BT, dtype)
            case Sinusoidal():
                table = jnp.asarray(sinusoids(self.config.context, self.config.width, position.base), dtype)
                return x_BTD + jnp.take(table, positions_BT, axis=0, mode="clip")
            case _:
                assert_never(position)

    def encode(
        self, source_BS: jax.Array, source_mask_BS: jax.Array, dtype: jnp.dtype, key: jax.Array | None = None
    ) -> Memory:
        """Reads a source: what stays the same while its target is written."""
        present_BS = source_mask_BS > 0
        places = 1 + len(self.encoder)
        embed_key, *block_keys = [None] * places if key is None else jax.random.split(key, places)
        x_BSD = self.embed(source_BS, token_positions(source_BS.shape[1], None), dtype, source=True)
        x_BSD = constrain_batch(dropout(x_BSD, self.config.dropout, embed_key))
        for block, block_key in zip(self.encoder, block_keys, strict=True):
            x_BSD = block(x_BSD, present_BS, block_key)
        x_BSD = x_BSD if self.encoder_norm is None else self.encoder_norm(x_BSD)
        return Memory(tuple(block.cross_attention.read(x_BSD) for block in self.decoder), present_BS)

    def decode(
        self,
        tokens_BT: jax.Array,
        memory: Memory,
        dtype: jnp.dtype,
        cache: Cache | None = None,
        key: jax.Array | None = None,
    ) -> Output:
        """The tokens that follow each prefix of the target; `cache` holds what was read before these tokens."""
        positions_BT = token_positions(tokens_BT.shape[1], cache)
        places = 1 + len(self.decoder)
        embed_key, *block_keys = [None] * places if key is None else jax.random.split(key, places)
        x_BTD = self.embed(tokens_BT, jnp.maximum(positions_BT, 0), dtype, source=False)
        x_BTD, layers = constrain_batch(dropout(x_BTD, self.config.dropout, embed_key)), []
        for index, block in enumerate(self.decoder):
            note("stream", x_BTD)
            source = memory.layers[index], memory.present_BS
            own = None if cache is None else cache.layers[index]
            x_BTD, layer = block(x_BTD, positions_BT, source, cache, own, block_keys[index])
            layers.append(layer)
        note("stream", x_BTD)
        logits_BTV = self.read_out(x_BTD)
        if cache is not None:
            cache = Cache(tuple(layers), cache.length + tokens_BT.shape[1], cache.padding_B)
        return Output(logits_BTV, cache, {}, {})

    def read_out(self, x_BTD: jax.Array) -> jax.Array:
        """What a stream of the decoder says of the next token, logits [B,T,V]: its norm, where it has one, and head."""
        x_BTD = x_BTD if self.decoder_norm is None else self.decoder_norm(x_BTD)
        return self.token_embed.attend(x_BTD) if self.head is None else logits(x_BTD, self.head.kernel[...])

    def __call__(
        self,
        tokens_BT: jax.Array,
        dtype: jnp.dtype,
        cache: Cache | None = None,
        key: jax.Array | None = None,
        *,
        source: jax.Array,
        source_mask: jax.Array,
    ) -> Output:
        """`dtype` is the compute dtype; `key` means training; `source_mask` is 1 where a source token stands."""
        source_key, target_key = (None, None) if key is None else jax.random.split(key)
        memory = self.encode(source, source_mask, dtype, source_key)
        return self.decode(tokens_BT, memory, dtype, cache, target_key)
