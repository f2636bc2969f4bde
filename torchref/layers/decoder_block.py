"""A block of the decoder: causal self-attention, attention to the encoded source, a feed-forward layer (Vaswani et al.
2017, section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from jaxdec.config.model import EncoderDecoderConfig
from torchref.layers.attention.attention import Attention
from torchref.layers.attention.cross_attention import CrossAttention
from torchref.layers.dropout import Dropout
from torchref.layers.mlp import make_mlp
from torchref.layers.norm import make_norm
from torchref.layers.residual import NormPlace, branch_input, residual_sum


class DecoderBlock(nn.Module):
    """x [B,T,D], memory [B,S,D] -> [B,T,D]; `present` [B,S] is True where the source has a token."""

    def __init__(self, config: EncoderDecoderConfig, layer: int) -> None:
        super().__init__()
        self.norm_place: NormPlace = config.norm_place
        self.attention_norm = make_norm(config.width, config.norm, config.bias)
        self.attention = Attention(config.decoder, layer)
        self.attention_dropout = Dropout(config.dropout)
        self.cross_attention_norm = make_norm(config.width, config.norm, config.bias)
        self.cross_attention = CrossAttention(config.decoder)
        self.cross_attention_dropout = Dropout(config.dropout)
        self.mlp_norm = make_norm(config.width, config.norm, config.bias)
        self.mlp = make_mlp(config.decoder, config.mlp)
        self.mlp_dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, memory_BSD: Tensor, present_BS: Tensor) -> Tensor:
        y_BTD = self.attention(branch_input(self.attention_norm, x_BTD, self.norm_place))
        x_BTD = residual_sum(self.attention_norm, x_BTD, self.attention_dropout(y_BTD), self.norm_place)
        y_BTD = branch_input(self.cross_attention_norm, x_BTD, self.norm_place)
        y_BTD = self.cross_attention_dropout(self.cross_attention(y_BTD, memory_BSD, present_BS))
        x_BTD = residual_sum(self.cross_attention_norm, x_BTD, y_BTD, self.norm_place)
        y_BTD = self.mlp_dropout(self.mlp(branch_input(self.mlp_norm, x_BTD, self.norm_place)))
        return residual_sum(self.mlp_norm, x_BTD, y_BTD, self.norm_place)
