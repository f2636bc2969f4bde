"""Causal multi-head self-attention (Vaswani et al. 2017, section 3.2), its four projections unfused."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor, nn

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import Learned, NoPosition, RoPE, Sinusoidal
from torchref.layers.attention.kernel import attend
from torchref.layers.documents import Documents
from torchref.layers.dropout import Dropout
from torchref.layers.linear import Linear
from torchref.layers.norm import RMSNormModule, normalised
from torchref.layers.position import rotate


class Heads(nn.Module):
    """x [B,T,D] -> [B,T,H C]; head h owns outputs h*C to (h+1)*C of each projection."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        width, head_dim, bias, std = config.width, config.resolved_head_dim, config.qkv_bias, config.init_std
        pattern = config.attention_of(layer)
        self.config, self.pattern, self.position = config, pattern, config.position_of(layer)
        self.query = Linear(width, config.heads * head_dim, bias=bias, init_std=std)
        self.key = Linear(width, config.resolved_kv_heads * head_dim, bias=bias, init_std=std)
        self.value = Linear(width, config.resolved_kv_heads * head_dim, bias=bias, init_std=std)
        match config.qk_norm_over:
            case "head":  # one by one
                sizes = (head_dim, head_dim)
            case "all":  # what is projected, before it is split
                sizes = (config.heads * head_dim, config.resolved_kv_heads * head_dim)
            case _:
                assert_never(config.qk_norm_over)
        norms = [RMSNormModule(size, epsilon=config.qk_norm.epsilon) if config.qk_norm else None for size in sizes]
        self.query_norm, self.key_norm = norms
        self.sink = None if pattern.sink is None else nn.Parameter(torch.full((config.heads,), pattern.sink))
        self.dropout = Dropout(config.dropout)

    def split_heads(self, x: Tensor) -> Tensor:
        """[B,T,H C] -> [B,T,H,C]."""
        return x.unflatten(-1, (-1, self.config.resolved_head_dim))

    def forward(self, x_BTD: Tensor, documents: Documents | None = None) -> Tensor:
        q, k, v = self.query(x_BTD), self.key(x_BTD), self.value(x_BTD)
        if self.config.qk_norm_over == "all":
            q, k = normalised(self.query_norm, q), normalised(self.key_norm, k)
        q_BTHC, k_BTKC, v_BTKC = self.split_heads(q), self.split_heads(k), self.split_heads(v)
        if self.config.qk_norm_over == "head":
            q_BTHC, k_BTKC = normalised(self.query_norm, q_BTHC), normalised(self.key_norm, k_BTKC)
        q_BHTC, k_BKTC, v_BKTC = (part.transpose(1, 2) for part in (q_BTHC, k_BTKC, v_BTKC))
        if (most := self.config.qkv_clip) is not None:
            q_BHTC, k_BKTC, v_BKTC = (part.clamp(-most, most) for part in (q_BHTC, k_BKTC, v_BKTC))
        match self.position:
            case RoPE() as rope:
                positions_BT = None if documents is None else documents.positions_BT
                q_BHTC, k_BKTC = rotate(q_BHTC, rope, positions_BT), rotate(k_BKTC, rope, positions_BT)
            case Learned() | Sinusoidal() | NoPosition():  # of the embeddings, or of the scores (ALiBi)
                pass
            case _:
                assert_never(self.position)
        y_BHTC = attend(
            q_BHTC,
            k_BKTC,
            v_BKTC,
            pattern=self.pattern,
            present_BS=None,
            documents=documents,
            scale=self.config.score_scale,
            softcap=self.pattern.softcap,
            alibi=self.pattern.alibi,
            sink_H=self.sink,
            dropout=self.dropout,
        )
        return y_BHTC.transpose(1, 2).flatten(-2)


class Attention(Heads):
    """x [B,T,D] -> [B,T,D]: the heads, and the projection `out` of what they gather."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__(config, layer)
        std = config.init_std / (2 * config.layers) ** 0.5
        self.out = Linear(config.heads * config.resolved_head_dim, config.width, bias=config.out_bias, init_std=std)

    def forward(self, x_BTD: Tensor, documents: Documents | None = None) -> Tensor:
        return self.out(super().forward(x_BTD, documents))
