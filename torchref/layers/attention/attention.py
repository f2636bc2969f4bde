"""Causal multi-head self-attention (Vaswani et al. 2017, section 3.2), its four projections unfused."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import Full, Pattern
from jaxdec.config.positions import RoPE
from torchref.layers.dropout import Dropout
from torchref.layers.linear import Linear
from torchref.layers.norm import RMSNormModule
from torchref.layers.position import alibi_slopes, rotate
from torchref.layers.promotion import at_least_float32


def attend(
    q_BHTC: Tensor,
    k_BHSC: Tensor,
    v_BHSC: Tensor,
    pattern: Pattern,
    sink_H: Tensor | None,
    dropout: Dropout,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale q k^T) v as [B,H,T,C], written out: soft cap, ALiBi, mask, sink, dropout on the weights.

    A scale of None is 1 / sqrt(C). Scores and softmax are in at least float32; the weights return to the dtype of the
    values.
    """
    factor = q_BHTC.shape[-1] ** -0.5 if scale is None else scale
    scores_BHTS = at_least_float32(q_BHTC) @ at_least_float32(k_BHSC).transpose(-2, -1) * factor
    if pattern.softcap is not None:
        scores_BHTS = torch.tanh(scores_BHTS / pattern.softcap) * pattern.softcap
    slots = torch.arange(q_BHTC.shape[2], device=q_BHTC.device)
    query_T1, key_1S = slots[:, None], slots[None, :]
    if pattern.alibi is not None:
        slopes_H = alibi_slopes(q_BHTC.shape[1], pattern.alibi).to(scores_BHTS)
        scores_BHTS = scores_BHTS + slopes_H[:, None, None] * (key_1S - query_T1)
    scores_BHTS = scores_BHTS.masked_fill(~pattern.allowed(query_T1, key_1S), -torch.inf)
    if sink_H is not None:  # one more key, whose value is zero
        column = sink_H.to(scores_BHTS.dtype)[None, :, None, None].expand(*scores_BHTS.shape[:3], 1)
        weights_BHTS = torch.softmax(torch.cat([scores_BHTS, column], dim=-1), dim=-1)[..., :-1]
    else:
        weights_BHTS = torch.softmax(scores_BHTS, dim=-1)
    return dropout(weights_BHTS).to(v_BHSC.dtype) @ v_BHSC


class Heads(nn.Module):
    """x [B,T,D] -> [B,T,H C]; head h owns channels h*C to (h+1)*C, and reads key/value head h // (H / K)."""

    def __init__(self, config: DecoderConfig, pattern: Pattern) -> None:
        super().__init__()
        width, head_dim, bias, std = config.width, config.resolved_head_dim, config.qkv_bias, config.init_std
        self.config, self.pattern = config, pattern
        self.query = Linear(width, config.heads * head_dim, bias=bias, init_std=std)
        self.key = Linear(width, config.resolved_kv_heads * head_dim, bias=bias, init_std=std)
        self.value = Linear(width, config.resolved_kv_heads * head_dim, bias=bias, init_std=std)
        self.norms_heads = config.qk_norm_over == "head"  # one by one; otherwise what is projected, before it is split
        query_width, key_width = (
            head_dim if self.norms_heads else heads * head_dim for heads in (config.heads, config.resolved_kv_heads)
        )
        self.query_norm = RMSNormModule(query_width, epsilon=config.qk_norm.epsilon) if config.qk_norm else None
        self.key_norm = RMSNormModule(key_width, epsilon=config.qk_norm.epsilon) if config.qk_norm else None
        self.sink = None if pattern.sink is None else nn.Parameter(torch.full((config.heads,), pattern.sink))
        self.dropout = Dropout(config.dropout)

    def split_heads(self, x: Tensor) -> Tensor:
        """[B,T,H C] -> [B,T,H,C]."""
        return x.unflatten(-1, (-1, self.config.resolved_head_dim))

    def forward(self, x_BTD: Tensor) -> Tensor:
        q, k, v = self.query(x_BTD), self.key(x_BTD), self.value(x_BTD)
        if self.query_norm is not None and self.key_norm is not None and not self.norms_heads:
            q, k = self.query_norm(q), self.key_norm(k)
        q_BTHC, k_BTKC, v_BTKC = self.split_heads(q), self.split_heads(k), self.split_heads(v)
        if self.query_norm is not None and self.key_norm is not None and self.norms_heads:
            q_BTHC, k_BTKC = self.query_norm(q_BTHC), self.key_norm(k_BTKC)
        q_BHTC, k_BKTC, v_BKTC = (part.transpose(1, 2) for part in (q_BTHC, k_BTKC, v_BTKC))
        if isinstance(self.config.position, RoPE):
            q_BHTC, k_BKTC = rotate(q_BHTC, self.config.position), rotate(k_BKTC, self.config.position)
        groups = self.config.heads // self.config.resolved_kv_heads
        k_BHTC, v_BHTC = (part.repeat_interleave(groups, dim=1) for part in (k_BKTC, v_BKTC))
        scale = self.config.score_scale
        plain = self.pattern == Full() and scale is None
        if plain and not self.dropout.active:  # the fused kernel would draw a mask of its own
            y_BHTC = F.scaled_dot_product_attention(q_BHTC, k_BHTC, v_BHTC, is_causal=True)
        else:
            y_BHTC = attend(q_BHTC, k_BHTC, v_BHTC, self.pattern, self.sink, self.dropout, scale)
        return y_BHTC.transpose(1, 2).flatten(-2)


class Attention(Heads):
    """x [B,T,D] -> [B,T,D]: the heads, and the projection `out` of what they gather."""

    def __init__(self, config: DecoderConfig, pattern: Pattern) -> None:
        super().__init__(config, pattern)
        std = config.init_std / (2 * config.layers) ** 0.5
        self.out = Linear(config.heads * config.resolved_head_dim, config.width, bias=config.out_bias, init_std=std)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.out(super().forward(x_BTD))
