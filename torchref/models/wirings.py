"""The class that builds each kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from jaxdec.config.model import (
    AnyModel,
    BigramConfig,
    DecoderConfig,
    EncoderDecoderConfig,
    MultiHeadConfig,
    OneBlockConfig,
    SingleHeadConfig,
)
from jaxdec.config.trainable import LoRA
from torchref.layers.lora import adapt
from torchref.models.bigram import Bigram
from torchref.models.decoder import Decoder
from torchref.models.encoder_decoder import EncoderDecoder
from torchref.models.language_model import LanguageModel
from torchref.models.multi_head import MultiHead
from torchref.models.one_block import OneBlock
from torchref.models.single_head import SingleHead

WIRINGS: Mapping[type, Any] = {
    BigramConfig: Bigram,
    SingleHeadConfig: SingleHead,
    MultiHeadConfig: MultiHead,
    OneBlockConfig: OneBlock,
    DecoderConfig: Decoder,
    EncoderDecoderConfig: EncoderDecoder,
}


def make_model(config: AnyModel, *, compute_dtype: torch.dtype, lora: LoRA | None = None) -> LanguageModel:
    """A new model with fresh weights, and with adapters where `lora` asks for them. Raises UserError when the
    vocabulary size is not known yet."""
    model = WIRINGS[type(config)](config, compute_dtype=compute_dtype)
    if lora is not None:
        adapt(model, lora)
    return model
