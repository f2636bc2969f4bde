"""The position-wise feed-forward layer (Vaswani et al. 2017, equation 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, Activation, GatedMLP
from torchref.layers.linear import Linear


def gelu(x: Tensor) -> Tensor:
    """x Phi(x), with the exact error function (Hendrycks and Gimpel 2016)."""
    return F.gelu(x, approximate="none")


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of GELU, which GPT-2 uses; it differs from the exact one by up to 5e-4."""
    return F.gelu(x, approximate="tanh")


def gelu_sigmoid(x: Tensor) -> Tensor:
    """The sigmoid approximation of GELU, x sigmoid(1.702 x), which GPT-OSS gates with; it differs by up to 2e-2."""
    return torch.sigmoid(1.702 * x) * x


def relu_squared(x: Tensor) -> Tensor:
    """x^2 above zero, and zero below (So et al. 2021)."""
    return x.clamp(min=0) ** 2


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "gelu_sigmoid": gelu_sigmoid,
    "relu": F.relu,
    "relu_squared": relu_squared,
    "silu": F.silu,
}


class MLPModule(nn.Module):
    """x [B,T,D] -> [B,T,D] through [B,T,F]."""

    def __init__(self, config: DecoderConfig, part: MLP) -> None:
        super().__init__()
        width, hidden = config.width, part.resolved_hidden(config.width)
        self.up = Linear(width, hidden, bias=config.bias, init_std=config.init_std)
        self.down = Linear(hidden, width, bias=config.bias, init_std=config.init_std / (2 * config.layers) ** 0.5)
        self.activation = ACTIVATIONS[part.activation]

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x_BTD)))


def gated_product(part: GatedMLP, gate: Tensor, up: Tensor) -> Tensor:
    """activation(gate) * (up + shift); with a clamp, gate <= clamp and -clamp <= up <= clamp."""
    if part.clamp is not None:
        gate, up = gate.clamp(max=part.clamp), up.clamp(min=-part.clamp, max=part.clamp)
    if part.up_shift:
        up = up + part.up_shift
    return ACTIVATIONS[part.activation](gate) * up


class GatedMLPModule(nn.Module):
    """x [B,T,D] -> down(silu(gate(x)) * up(x)) through [B,T,F] (Shazeer 2020, equation 6), and its relatives."""

    def __init__(self, config: DecoderConfig, part: GatedMLP) -> None:
        super().__init__()
        width, hidden, bias = config.width, part.hidden, config.bias
        self.part = part
        self.gate = Linear(width, hidden, bias=bias, init_std=config.init_std)
        self.up = Linear(width, hidden, bias=bias, init_std=config.init_std)
        self.down = Linear(hidden, width, bias=bias, init_std=config.init_std / (2 * config.layers) ** 0.5)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(gated_product(self.part, self.gate(x_BTD), self.up(x_BTD)))


def make_mlp(config: DecoderConfig, part: MLP | GatedMLP) -> MLPModule | GatedMLPModule:
    """The feed-forward layer that `part` asks for."""
    match part:
        case MLP():
            return MLPModule(config, part)
        case GatedMLP():
            return GatedMLPModule(config, part)
        case _:
            assert_never(part)
