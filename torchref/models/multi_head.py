"""Several causal attention heads, concatenated and projected, between embeddings and output head."""

from __future__ import annotations

from jaxdec.config.model import DecoderConfig
from torchref.layers.attention.attention import Attention
from torchref.layers.linear import Linear
from torchref.models.single_head import SingleHead


class MultiHead(SingleHead):
    """tokens [B,T] int -> Output. All matrices are drawn from normal(0, init_std)."""

    def make_attention(self, config: DecoderConfig) -> Attention:
        attention = Attention(config, 0)
        # There is no residual stream that `out` should start small for
        attention.out = Linear(config.width, config.width, bias=False, init_std=config.init_std)
        return attention
