"""Causal multi-head self-attention (Vaswani et al. 2017, section 3.2), its four projections unfused."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxdec.model_config import ModelConfig
from torchref.layers.dropout import Dropout
from torchref.layers.linear import Linear
from torchref.layers.masks import causal
from torchref.layers.promotion import at_least_float32


def attend(q_BHTC: Tensor, k_BHSC: Tensor, v_BHSC: Tensor, visible_TS: Tensor, dropout: Dropout) -> Tensor:
    """softmax(q k^T / sqrt(C)) v as [B,H,T,C], written out, with dropout on the weights.

    Scores and softmax are in at least float32; the weights return to the dtype of the values.
    """
    scores_BHTS = at_least_float32(q_BHTC) @ at_least_float32(k_BHSC).transpose(-2, -1) * q_BHTC.shape[-1] ** -0.5
    weights_BHTS = dropout(torch.softmax(scores_BHTS.masked_fill(~visible_TS, -torch.inf), dim=-1))
    return weights_BHTS.to(v_BHSC.dtype) @ v_BHSC


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
        q_BHTC, k_BHSC, v_BHSC = (self.split_heads(part(x_BTD)) for part in (self.query, self.key, self.value))
        if self.dropout.active:  # the fused kernel draws its own mask, so dropped weights need the written-out form
            slots_T = torch.arange(x_BTD.shape[1], device=x_BTD.device)
            y_BHTC = attend(q_BHTC, k_BHSC, v_BHSC, causal(slots_T[:, None], slots_T[None, :]), self.dropout)
        else:
            y_BHTC = F.scaled_dot_product_attention(q_BHTC, k_BHSC, v_BHSC, is_causal=True)
        return self.out(y_BHTC.transpose(1, 2).flatten(-2))
