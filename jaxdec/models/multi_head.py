"""Several attention heads side by side: each asks a question of its own, `out` mixes their outputs (Vaswani et al.
2017, section 3.2.2).

H heads of head_dim D / H cost as much as one head of head_dim D, plus the projection. There is still no residual sum
and no norm: `logits = head(attention(token_embed + position_embed))`.

Initialisation: 1. token table, 2. position table, 3. query, key, value, out, 4. head; all normal(init_std), no biases.
"""

from __future__ import annotations

from flax import nnx

from jaxdec.config.model import DecoderConfig
from jaxdec.layers.attention.attention import Attention
from jaxdec.models.single_head import SingleHead


class MultiHead(SingleHead):
    """tokens [B,T] -> Output. `config.vocab_size` must be known."""

    def make_attention(self, config: DecoderConfig, *, rngs: nnx.Rngs) -> Attention:
        # There is no residual stream that `out` should start small for
        return Attention(config, 0, config.init_std, rngs=rngs)
