"""Attention of one sequence to another (Vaswani et al. 2017, section 3.2.3)."""

from __future__ import annotations

from torch import Tensor, nn

from jaxdec.config.model import DecoderConfig
from torchref.layers.attention.kernel import attend
from torchref.layers.dropout import Dropout
from torchref.layers.linear import Linear


class CrossAttention(nn.Module):
    """x [B,T,D] and a memory [B,S,D] -> [B,T,D]: queries from x, keys and values from the memory, all of which may be
    read where `present` [B,S] is True. With x as its own memory it is the encoder's self-attention."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, inner, bias, std = config.width, config.heads * config.resolved_head_dim, config.bias, config.init_std
        self.head_dim = config.resolved_head_dim
        self.query = Linear(width, inner, bias=bias, init_std=std)
        self.key = Linear(width, inner, bias=bias, init_std=std)
        self.value = Linear(width, inner, bias=bias, init_std=std)
        self.out = Linear(inner, width, bias=bias, init_std=std / (2 * config.layers) ** 0.5)
        self.dropout = Dropout(config.dropout)

    def split_heads(self, x: Tensor) -> Tensor:
        """[B,T,H C] -> [B,H,T,C]."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def forward(self, x_BTD: Tensor, memory_BSD: Tensor, present_BS: Tensor) -> Tensor:
        q_BHTC = self.split_heads(self.query(x_BTD))
        k_BHSC, v_BHSC = self.split_heads(self.key(memory_BSD)), self.split_heads(self.value(memory_BSD))
        y_BHTC = attend(
            q_BHTC,
            k_BHSC,
            v_BHSC,
            pattern=None,
            present_BS=present_BS,
            documents=None,
            scale=None,
            softcap=None,
            alibi=None,
            sink_H=None,
            dropout=self.dropout,
        )
        return self.out(y_BHTC.transpose(1, 2).flatten(-2))
