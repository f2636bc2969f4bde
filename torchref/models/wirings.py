"""The class that builds each kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from jaxdec.model_config import AnyModel, ModelConfig
from torchref.models.decoder import Decoder

WIRINGS: Mapping[type, Any] = {ModelConfig: Decoder}


def make_model(config: AnyModel, *, compute_dtype: torch.dtype) -> nn.Module:
    """A new model with fresh weights. Raises UserError when the vocabulary size is not known yet."""
    return WIRINGS[type(config)](config, compute_dtype=compute_dtype)
