"""The decoder: embeddings, blocks, a final norm, a head or a classifier (GPT-2, Radford et al. 2019).

Initialisation, in the order in which keys are drawn: 1. token table, normal(init_std); 2. position table, if learned,
normal(position.init_std); 3. block by block: query, key, value, out, then the feed-forward layer, all normal(init_std)
but the projections back to the residual stream, whose std is init_std / sqrt(2 L), and mixtures of experts
(`layers.moe`); 4. head, if untied, or classifier. Norm scales are one, all biases zero.
"""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import Learned, NoPosition, RoPE, Sinusoidal
from jaxdec.distributed.sharding import constrain_batch
from jaxdec.layers.attention.cache import Cache, advanced, token_positions
from jaxdec.layers.attention.documents import document_starts
from jaxdec.layers.block import Block
from jaxdec.layers.dropout import dropout
from jaxdec.layers.embed import Embed
from jaxdec.layers.linear import Linear, logits
from jaxdec.layers.moe.moe import RouterReport, summarise
from jaxdec.layers.norm import make_norm
from jaxdec.layers.notes import note
from jaxdec.layers.position import sinusoids
from jaxdec.models.output import Output


class Decoder(nnx.Module):
    """tokens [B,T] -> Output. `config.vocab_size` must be known.

    With `config.classes` a classifier takes the place of the head, as for sequence classification in Radford et al.
    2018, section 3.2: its logits [B,T,classes] stand where those over the vocabulary would, without their scale and
    soft cap. Which position is read is the stage's choice.
    """

    def __init__(self, config: DecoderConfig, *, rngs: nnx.Rngs):
        vocab, width, std = config.vocab_size, config.width, config.init_std
        assert vocab is not None, "resolve model.vocab_size from the tokenizer first"
        self.config = config
        self.token_embed = Embed((vocab, width), ("vocab", "embed"), std, rngs=rngs)
        if isinstance(config.position, Learned):
            self.position_embed = Embed((config.context, width), (None, "embed"), config.position.init_std, rngs=rngs)
        self.blocks = nnx.List([Block(config, layer, rngs=rngs) for layer in range(config.layers)])
        self.final_norm = make_norm(width, config.norm, config.bias)
        axes, biased = ("embed", "vocab"), config.head_bias
        untied, classes = config.classes is None and not config.tied_head, config.classes
        head = Linear((width, vocab), axes, std, biased, rngs=rngs) if untied else None
        classifier = None if classes is None else Linear((width, classes), ("embed", None), std, True, rngs=rngs)
        self.head, self.classifier = head, classifier  # assigned once: nnx fixes then whether each holds parameters

    def embed(self, tokens_BT: jax.Array, positions_BT: jax.Array, dtype: jnp.dtype) -> jax.Array:
        """Token vectors times `embed_scale`, with that of the position in the document where it is added; pads, which
        no query reads, get row 0's."""
        x_BTD, rows_BT = self.token_embed(tokens_BT, dtype), jnp.maximum(positions_BT, 0)
        scale, position = self.config.embed_scale, self.config.position
        x_BTD = x_BTD if scale is None else scale * x_BTD
        match position:
            case Learned():
                return x_BTD + self.position_embed(rows_BT, dtype)
            case Sinusoidal():
                table = jnp.asarray(sinusoids(self.config.context, self.config.width, position.base), dtype)
                return x_BTD + jnp.take(table, rows_BT, axis=0, mode="clip")
            case RoPE() | NoPosition() | tuple():  # of the layers
                return x_BTD
            case _:
                assert_never(position)

    def read_out(self, x_BTD: jax.Array) -> jax.Array:
        """Final norm and head: logits over the vocabulary, [B,T,V], or over the classes, in at least float32."""
        x_BTD = self.final_norm(x_BTD)
        if self.classifier is not None:
            return head_logits(x_BTD, self.classifier)
        logits_BTV = self.token_embed.attend(x_BTD) if self.head is None else head_logits(x_BTD, self.head)
        scale, softcap = self.config.logit_scale, self.config.logit_softcap
        logits_BTV = logits_BTV if scale is None else scale * logits_BTV
        return logits_BTV if softcap is None else softcap * jnp.tanh(logits_BTV / softcap)

    def __call__(
        self, tokens_BT: jax.Array, dtype: jnp.dtype, cache: Cache | None = None, key: jax.Array | None = None
    ) -> Output:
        """`dtype` is the compute dtype; `key` means training; `cache` holds what was read before these tokens."""
        positions_BT = token_positions(tokens_BT.shape[1], cache)
        starts_BT = document_starts(self.config.documents, tokens_BT, positions_BT, cache and cache.start_B)
        in_document_BT = positions_BT if starts_BT is None else positions_BT - starts_BT
        places = 1 + len(self.blocks)
        embed_key, *block_keys = [None] * places if key is None else jax.random.split(key, places)
        x_BTD = dropout(self.embed(tokens_BT, in_document_BT, dtype), self.config.dropout, embed_key)
        x_BTD, layers = constrain_batch(x_BTD), []
        reports: list[RouterReport] = []
        for index, block in enumerate(self.blocks):
            note("stream", x_BTD)
            own = cache and cache.layers[index]
            x_BTD, layer, report = block(x_BTD, positions_BT, cache, own, block_keys[index], starts_BT)
            layers.append(layer)
            reports += [] if report is None else [report]
        note("stream", x_BTD)
        logits_BTV = self.read_out(x_BTD)
        if cache is not None:
            cache = advanced(cache, tuple(layers), starts_BT, tokens_BT.shape[1])
        return Output(logits_BTV, cache, *summarise(reports))


def head_logits(x_BTD: jax.Array, head: Linear) -> jax.Array:
    """The head's outputs [B,T,V] in at least float32."""
    return logits(x_BTD, head.kernel[...], None if head.bias is None else head.bias[...])
