"""A plain feed-forward layer, of which configs give `intermediate_size` and `hidden_act`."""

from __future__ import annotations

from typing import Any

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP
from jaxdec.weights.huggingface.family import need
from jaxdec.weights.huggingface.settings import HFSettings, activation_name


def read_plain_mlp(settings: HFSettings) -> MLP:
    """Raises UserError where the width is missing or the decoder has no such activation."""
    return MLP(hidden=settings.whole("intermediate_size"), activation=settings.activation("hidden_act"))


def write_plain_mlp(config: DecoderConfig, usual: str = "gelu_pytorch_tanh") -> dict[str, Any]:
    """`usual`: what the family calls GELU by tanh, which has two names.

    Raises Inexpressible for a layer of another kind, and where layers differ.
    """
    mlp = need(config.mlp, MLP, "mlp")
    activation = activation_name(mlp.activation, usual)
    return {"intermediate_size": mlp.resolved_hidden(config.width), "hidden_act": activation}
