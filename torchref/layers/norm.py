"""Layer normalisation (Ba et al. 2016, equations 3 and 4), and RMSNorm (Zhang and Sennrich 2019, equation 4)."""

from __future__ import annotations

from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxdec.config.parts import LayerNorm, Norm, RMSNorm
from torchref.layers.promotion import at_least_float32


class LayerNormModule(nn.Module):
    """x [..., width] -> the same shape and dtype: zero mean and unit variance over the width, then scale and bias, as
    far as there are such.

    The variance is the biased one (divided by the width) and epsilon stands inside the root.
    """

    def __init__(self, width: int, *, epsilon: float, scale: bool, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width)) if scale else None
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = at_least_float32(x)
        weight = None if self.weight is None else self.weight.to(wide.dtype)
        bias = None if self.bias is None else self.bias.to(wide.dtype)
        return F.layer_norm(wide, wide.shape[-1:], weight, bias, self.epsilon).to(x.dtype)


class RMSNormModule(nn.Module):
    """x [..., width] -> the same shape and dtype: divided by its root mean square, then scaled."""

    def __init__(self, width: int, *, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = at_least_float32(x)
        return F.rms_norm(wide, self.weight.shape, self.weight.to(wide.dtype), self.epsilon).to(x.dtype)


def normalised(norm: nn.Module | None, x: Tensor) -> Tensor:
    """norm(x); x itself where there is no norm."""
    return norm(x) if norm is not None else x


def make_norm(width: int, config: Norm, bias: bool) -> LayerNormModule | RMSNormModule:
    """The norm that the config asks for; `bias` is the model's, for a layer norm that does not say it itself."""
    match config:
        case LayerNorm(epsilon=epsilon, scale=scale, bias=own):
            return LayerNormModule(width, epsilon=epsilon, scale=scale, bias=own if own is not None else bias)
        case RMSNorm():
            return RMSNormModule(width, epsilon=config.epsilon)
        case _:
            assert_never(config)
