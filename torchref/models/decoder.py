"""A decoder-only transformer: tokens in, scores for the next token, or for each class, out."""

from __future__ import annotations

from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxdec.config.model import DecoderConfig
from jaxdec.config.positions import Learned, NoPosition, RoPE, Sinusoidal
from jaxdec.errors import UserError
from torchref.layers.block import Block
from torchref.layers.documents import Documents, documents_of
from torchref.layers.dropout import Dropout
from torchref.layers.embed import Embed
from torchref.layers.linear import Linear
from torchref.layers.moe.moe import summarise
from torchref.layers.norm import make_norm
from torchref.layers.position import sinusoids
from torchref.layers.promotion import at_least_float32
from torchref.models.language_model import LanguageModel
from torchref.models.output import Output


class Decoder(LanguageModel):
    """tokens [B,T] int -> Output.

    Initialised as GPT-2: every matrix from normal(0, init_std), the projections that write to the residual stream from
    normal(0, init_std / sqrt(2 * layers)), biases zero, norm scales one. The residual stream is in `compute_dtype`;
    parameters keep the dtype they have. Raises UserError when the vocabulary size is not known yet or a sequence is
    longer than the context.
    """

    def __init__(self, config: DecoderConfig, *, compute_dtype: torch.dtype) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise UserError("model.vocab_size is not set: take it from the tokenizer before building the model")
        self.config, self.context = config, config.context
        width, std = config.width, config.init_std
        self.token_embed = Embed(config.vocab_size, width, init_std=std, compute_dtype=compute_dtype)
        if isinstance(config.position, Learned):
            self.position_embed = Embed(
                config.context, width, init_std=config.position.init_std, compute_dtype=compute_dtype
            )
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config.layers)])
        self.final_norm = make_norm(width, config.norm, config.bias)
        self.head = self.classifier = None
        if config.classes is not None:
            self.classifier = Linear(width, config.classes, bias=True, init_std=std)
        elif not config.tied_head:
            self.head = Linear(width, config.vocab_size, bias=config.head_bias, init_std=std)

    def embed(self, tokens_BT: Tensor, documents: Documents | None) -> Tensor:
        """Token vectors times `embed_scale`, with that of the position in the document where it is added."""
        x_BTD, position = self.token_embed(tokens_BT), self.config.position
        if self.config.embed_scale is not None:
            x_BTD = x_BTD * self.config.embed_scale
        slots_1T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[None, :]
        positions_BT = slots_1T if documents is None else documents.positions_BT
        match position:
            case Learned():
                return x_BTD + self.position_embed(positions_BT)
            case Sinusoidal():
                return x_BTD + sinusoids(self.context, self.config.width, position.base).to(x_BTD)[positions_BT]
            case RoPE() | NoPosition() | tuple():
                return x_BTD
            case _:
                assert_never(position)

    def forward(self, tokens_BT: Tensor) -> Output:
        if (length := tokens_BT.shape[1]) > self.context:
            raise UserError(f"a sequence of {length} tokens is longer than the model's context of {self.context}")
        documents = documents_of(self.config.documents, tokens_BT)
        x_BTD, reports = self.dropout(self.embed(tokens_BT, documents)), []
        for block in self.blocks:
            x_BTD, report = block(x_BTD, documents)
            reports += [] if report is None else [report]
        x_BTD = self.final_norm(x_BTD)
        last = self.head if self.classifier is None else self.classifier
        weight_VD = self.token_embed.weight if last is None else last.weight
        logits_BTV = F.linear(at_least_float32(x_BTD), at_least_float32(weight_VD.to(x_BTD.dtype)))
        if last is not None and last.bias is not None:
            logits_BTV = logits_BTV + at_least_float32(last.bias)
        if self.classifier is not None:
            return Output(logits_BTV, *summarise(reports))
        if self.config.logit_scale is not None:
            logits_BTV = logits_BTV * self.config.logit_scale
        if self.config.logit_softcap is not None:
            logits_BTV = self.config.logit_softcap * torch.tanh(logits_BTV / self.config.logit_softcap)
        return Output(logits_BTV, *summarise(reports))
