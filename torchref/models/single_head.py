"""One causal attention head between embeddings and output head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.config.model import DecoderConfig, MultiHeadConfig, SingleHeadConfig
from jaxdec.errors import UserError
from torchref.layers.attention.attention import Heads
from torchref.layers.embed import Embed
from torchref.layers.linear import Linear
from torchref.layers.promotion import at_least_float32
from torchref.models.language_model import LanguageModel
from torchref.models.output import Output


class SingleHead(LanguageModel):
    """tokens [B,T] int -> Output. All matrices are drawn from normal(0, init_std).

    Raises UserError when the vocabulary size is not known yet or a sequence is longer than the context.
    """

    def __init__(self, config: SingleHeadConfig | MultiHeadConfig, *, compute_dtype: torch.dtype) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise UserError("model.vocab_size is not set: take it from the tokenizer before building the model")
        self.context = config.context
        width, std = config.width, config.init_std
        self.token_embed = Embed(config.vocab_size, width, init_std=std, compute_dtype=compute_dtype)
        self.position_embed = Embed(config.context, width, init_std=std, compute_dtype=compute_dtype)
        self.attention = self.make_attention(config.decoder)
        self.head = Linear(width, config.vocab_size, bias=False, init_std=std)

    def make_attention(self, config: DecoderConfig) -> Heads:
        return Heads(config, 0)

    def forward(self, tokens_BT: Tensor) -> Output:
        if (length := tokens_BT.shape[1]) > self.context:
            raise UserError(f"a sequence of {length} tokens is longer than the model's context of {self.context}")
        slots_1T = torch.arange(length, device=tokens_BT.device)[None, :]
        x_BTD = self.attention(self.token_embed(tokens_BT) + self.position_embed(slots_1T))
        weight_VD = self.head.weight.to(x_BTD.dtype)
        return Output(F.linear(at_least_float32(x_BTD), at_least_float32(weight_VD)), {}, {})
