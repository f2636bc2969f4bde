"""Causal multi-head self-attention (Vaswani et al. 2017, section 3.2), its four projections unfused."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxdec.config import ModelConfig
from torchref.layers.dropout import Dropout
from torchref.layers.linear import Linear
from torchref.layers.masks import causal_mask
from torchref.layers.precision import promote


def attend(query_BHTC: Tensor, key_BHSC: Tensor, value_BHSC: Tensor, mask_TS: Tensor, dropout: Dropout) -> Tensor:
    """softmax(Q K^T / sqrt(C)) V as [B,H,T,C], written out, with dropout on the weights.

    Scores and softmax are in at least float32; the weights return to the dtype of the values.
    """
    scores_BHTS = promote(query_BHTC) @ promote(key_BHSC).transpose(-2, -1) * query_BHTC.shape[-1] ** -0.5
    weights_BHTS = torch.softmax(scores_BHTS.masked_fill(~mask_TS, -torch.inf), dim=-1)
    return dropout(weights_BHTS.to(value_BHSC.dtype)) @ value_BHSC


class Attention(nn.Module):
    """x [B,T,D] -> [B,T,D]; head h owns channels h*C to (h+1)*C of the projections, C = D / H."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, bias, init_std = config.width, config.bias, config.init_std
        self.heads = config.heads
        self.query = Linear(width, width, bias=bias, init_std=init_std)
        self.key = Linear(width, width, bias=bias, init_std=init_std)
        self.value = Linear(width, width, bias=bias, init_std=init_std)
        self.out = Linear(width, width, bias=bias, init_std=init_std / (2 * config.layers) ** 0.5)
        self.dropout = Dropout(config.dropout)

    def split_heads(self, x_BTD: Tensor) -> Tensor:
        """[B,T,D] -> [B,H,T,C]."""
        return x_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x_BTD: Tensor) -> Tensor:
        query_BHTC = self.split_heads(self.query(x_BTD))
        key_BHSC = self.split_heads(self.key(x_BTD))
        value_BHSC = self.split_heads(self.value(x_BTD))
        if self.dropout.active:  # the fused kernel draws its own mask, so dropped weights need the written-out form
            mask_TS = causal_mask(x_BTD.shape[1], x_BTD.device)
            mixed_BHTC = attend(query_BHTC, key_BHSC, value_BHSC, mask_TS, self.dropout)
        else:
            mixed_BHTC = F.scaled_dot_product_attention(query_BHTC, key_BHSC, value_BHSC, is_causal=True)
        return self.out(mixed_BHTC.transpose(1, 2).flatten(-2))
