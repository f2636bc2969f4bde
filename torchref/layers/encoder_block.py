"""A block of the encoder: self-attention over the whole source, and a feed-forward layer (Vaswani et al. 2017,
section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from jaxdec.config.model import EncoderDecoderConfig
from torchref.layers.attention.cross_attention import CrossAttention
from torchref.layers.dropout import Dropout
from torchref.layers.mlp import make_mlp
from torchref.layers.norm import make_norm
from torchref.layers.residual import NormPlace, branch_input, residual_sum


class EncoderBlock(nn.Module):
    """x [B,S,D] -> [B,S,D]; `present` [B,S] is True where the source has a token."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.norm_place: NormPlace = config.norm_place
        self.attention_norm = make_norm(config.width, config.norm, config.bias)
        self.attention = CrossAttention(config.decoder)
        self.attention_dropout = Dropout(config.dropout)
        self.mlp_norm = make_norm(config.width, config.norm, config.bias)
        self.mlp = make_mlp(config.decoder, config.mlp)
        self.mlp_dropout = Dropout(config.dropout)

    def forward(self, x_BSD: Tensor, present_BS: Tensor) -> Tensor:
        y_BSD = branch_input(self.attention_norm, x_BSD, self.norm_place)
        y_BSD = self.attention_dropout(self.attention(y_BSD, y_BSD, present_BS))
        x_BSD = residual_sum(self.attention_norm, x_BSD, y_BSD, self.norm_place)
        y_BSD = self.mlp_dropout(self.mlp(branch_input(self.mlp_norm, x_BSD, self.norm_place)))
        return residual_sum(self.mlp_norm, x_BSD, y_BSD, self.norm_place)
