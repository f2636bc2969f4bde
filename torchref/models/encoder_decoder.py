"""The original transformer (Vaswani et al. 2017): an encoder of the source, a decoder that attends to it."""

from __future__ import annotations

from typing import ClassVar, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.config.positions import Learned, Sinusoidal
from jaxdec.errors import UserError
from torchref.layers.decoder_block import DecoderBlock
from torchref.layers.dropout import Dropout
from torchref.layers.embed import Embed
from torchref.layers.encoder_block import EncoderBlock
from torchref.layers.linear import Linear
from torchref.layers.norm import make_norm
from torchref.layers.position import sinusoids
from torchref.layers.promotion import at_least_float32
from torchref.models.language_model import LanguageModel
from torchref.models.output import Output


class EncoderDecoder(LanguageModel):
    """tokens [B,T] int, source [B,S] int, source_mask [B,S] -> Output.

    Initialised as `Decoder`. Token vectors are multiplied by sqrt(D) (section 3.4). Raises UserError when the
    vocabulary size is not known yet or a sequence is longer than the context.
    """

    inputs: ClassVar[tuple[str, ...]] = ("source", "source_mask")

    def __init__(self, config: EncoderDecoderConfig, *, compute_dtype: torch.dtype) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise UserError("model.vocab_size is not set: take it from the tokenizer before building the model")
        self.config, self.context = config, config.context
        width, std = config.width, config.init_std
        self.token_embed = Embed(config.vocab_size, width, init_std=std, compute_dtype=compute_dtype)
        if isinstance(config.position, Learned):
            rows, drawn = config.context, config.position.init_std
            self.source_position_embed = Embed(rows, width, init_std=drawn, compute_dtype=compute_dtype)
            self.position_embed = Embed(rows, width, init_std=drawn, compute_dtype=compute_dtype)
        self.source_dropout, self.dropout = Dropout(config.dropout), Dropout(config.dropout)
        self.encoder = nn.ModuleList([EncoderBlock(config) for _ in range(config.layers)])
        self.decoder = nn.ModuleList([DecoderBlock(config, layer) for layer in range(config.layers)])
        before = config.norm_place == "pre"
        self.encoder_norm = make_norm(width, config.norm, config.bias) if before else None
        self.decoder_norm = make_norm(width, config.norm, config.bias) if before else None
        self.head = None if config.tied_head else Linear(width, config.vocab_size, bias=False, init_std=std)

    def embed(self, tokens_BT: Tensor, *, source: bool) -> Tensor:
        """Token vectors times sqrt(D), with the position's."""
        if (length := tokens_BT.shape[1]) > self.context:
            raise UserError(f"a sequence of {length} tokens is longer than the model's context of {self.context}")
        x_BTD, position = self.token_embed(tokens_BT) * self.config.width**0.5, self.config.position
        slots_1T = torch.arange(length, device=tokens_BT.device)[None, :]
        match position:
            case Learned():
                return x_BTD + (self.source_position_embed if source else self.position_embed)(slots_1T)
            case Sinusoidal():
                return x_BTD + sinusoids(self.context, self.config.width, position.base).to(x_BTD)[slots_1T]
            case _:
                assert_never(position)

    def encode(self, source_BS: Tensor, present_BS: Tensor) -> Tensor:
        """The encoder's output, [B,S,D]."""
        x_BSD = self.source_dropout(self.embed(source_BS, source=True))
        for block in self.encoder:
            x_BSD = block(x_BSD, present_BS)
        return x_BSD if self.encoder_norm is None else self.encoder_norm(x_BSD)

    def forward(self, tokens_BT: Tensor, source: Tensor, source_mask: Tensor) -> Output:
        present_BS = source_mask > 0
        memory_BSD = self.encode(source, present_BS)
        x_BTD = self.dropout(self.embed(tokens_BT, source=False))
        for block in self.decoder:
            x_BTD = block(x_BTD, memory_BSD, present_BS)
        x_BTD = x_BTD if self.decoder_norm is None else self.decoder_norm(x_BTD)
        weight_VD = self.token_embed.weight if self.head is None else self.head.weight
        logits_BTV = F.linear(at_least_float32(x_BTD), at_least_float32(weight_VD.to(x_BTD.dtype)))
        return Output(logits_BTV, {}, {})
