"""Low-rank adapters (Hu et al. 2021, "LoRA", eq. 3): h = W x + (alpha / rank) B A x, where W is frozen.

As the rest of this package names and lays out what is no `weight`: `lora_a` [inputs, rank] and `lora_b` [rank,
outputs], so that h = x W^T + (alpha / rank) x A B.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jaxdec.config.trainable import LoRA
from torchref.layers.dropout import Dropout
from torchref.layers.linear import Linear
from torchref.layers.moe.moe import Experts

NEVER = ("head", "classifier")


def fresh_a(*shape: int) -> nn.Parameter:
    """A, [..., inputs, rank]: Kaiming's uniform law with a = sqrt(5), whose bound is 1 / sqrt(inputs)."""
    bound = math.sqrt(6 / ((1 + 5) * shape[-2]))
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


class LoRALinear(Linear):
    """A linear layer with an adapter beside it."""

    def __init__(self, base: Linear, lora: LoRA) -> None:
        nn.Module.__init__(self)
        outputs, inputs = base.weight.shape
        self.weight, self.bias = base.weight, base.bias
        self.lora_a, self.lora_b = fresh_a(inputs, lora.rank), nn.Parameter(torch.zeros(lora.rank, outputs))
        self.dropout, self.alpha, self.rank = Dropout(lora.dropout), lora.alpha, lora.rank

    def forward(self, x: Tensor) -> Tensor:
        low = self.dropout(x) @ self.lora_a.to(x.dtype)
        return super().forward(x) + (low @ self.lora_b.to(x.dtype)) * (self.alpha / self.rank)


class LoRAExperts(Experts):
    """The experts of a mixture with adapters beside those of their kernels that are named; `up_lora_a` is [E, inputs,
    rank], `up_lora_b` [E, rank, outputs]."""

    def __init__(self, base: Experts, lora: LoRA, kernels: list[str]) -> None:
        nn.Module.__init__(self)
        self.part, self.kernels = base.part, kernels
        for name in ("gate", "up", "down"):
            setattr(self, name, getattr(base, name))
            setattr(self, f"{name}_bias", getattr(base, f"{name}_bias"))
        for name in kernels:
            experts, inputs, outputs = getattr(base, name).shape
            setattr(self, f"{name}_lora_a", fresh_a(experts, inputs, lora.rank))
            setattr(self, f"{name}_lora_b", nn.Parameter(torch.zeros(experts, lora.rank, outputs)))
        self.dropout, self.alpha, self.rank = Dropout(lora.dropout), lora.alpha, lora.rank

    def linear(self, name: str, expert: int, x: Tensor) -> Tensor:
        y = super().linear(name, expert, x)
        if name not in self.kernels:
            return y
        a, b = (getattr(self, f"{name}_lora_{letter}")[expert].to(x.dtype) for letter in "ab")
        return y + (self.dropout(x) @ a @ b) * (self.alpha / self.rank)


def adapt(model: nn.Module, lora: LoRA) -> None:
    """Puts adapters into a model, in place, beside every layer that is a target."""
    for path, module in list(model.named_modules()):
        if isinstance(module, Linear) and path not in NEVER and lora.adapts(path):
            model.set_submodule(path, LoRALinear(module, lora))
        if isinstance(module, Experts):
            there = [name for name in ("gate", "up", "down") if getattr(module, name) is not None]
            if kernels := [name for name in there if lora.adapts(f"{path}.{name}")]:
                model.set_submodule(path, LoRAExperts(module, lora, kernels))
