"""A decoder-only transformer: tokens in, scores for the next token out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxdec.errors import UserError
from jaxdec.model_config import ModelConfig
from torchref.layers.block import Block
from torchref.layers.dropout import Dropout
from torchref.layers.embed import Embed
from torchref.layers.linear import Linear
from torchref.layers.norm import LayerNorm
from torchref.layers.promotion import at_least_float32


class Decoder(nn.Module):
    """tokens [B,T] int -> logits [B,T,V] in at least float32.

    Initialised as GPT-2: every matrix from normal(0, init_std), the two projections that write to the residual stream
    from normal(0, init_std / sqrt(2 * layers)), biases zero, norm scales one. The residual stream is in
    `compute_dtype`; parameters keep the dtype they have. Raises UserError when the vocabulary size is not known yet or
    a sequence is longer than the context.
    """

    def __init__(self, config: ModelConfig, *, compute_dtype: torch.dtype) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise UserError("model.vocab_size is not set: take it from the tokenizer before building the model")
        self.context = config.context
        width, std = config.width, config.init_std
        self.token_embed = Embed(config.vocab_size, width, init_std=std, compute_dtype=compute_dtype)
        self.position_embed = Embed(
            config.context, width, init_std=config.position.init_std, compute_dtype=compute_dtype
        )
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.final_norm = LayerNorm(width, epsilon=config.norm.epsilon, bias=config.bias)
        self.head = None if config.tied_head else Linear(width, config.vocab_size, bias=False, init_std=std)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        length = tokens_BT.shape[1]
        if length > self.context:
            raise UserError(f"a sequence of {length} tokens is longer than the model's context of {self.context}")
        positions_BT = torch.arange(length, device=tokens_BT.device)[None, :]
        x_BTD = self.dropout(self.token_embed(tokens_BT) + self.position_embed(positions_BT))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        x_BTD = self.final_norm(x_BTD)
        weight_VD = self.token_embed.weight if self.head is None else self.head.weight
        return F.linear(at_least_float32(x_BTD), at_least_float32(weight_VD.to(x_BTD.dtype)))
