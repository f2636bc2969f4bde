"""Seeded bugs in the twin's adapters."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import later_mutant
from torchref.layers.linear import Linear
from torchref.layers.lora import LoRALinear

PAIR = "lora"


@later_mutant("blocks.0.attention", PAIR)  # its projections run as one product there, and are not recorded
def adapter_not_divided_by_the_rank() -> Patch:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return Linear.forward(self, x) + (self.dropout(x) @ self.lora_a @ self.lora_b) * self.alpha

    return patch.object(LoRALinear, "forward", forward)


@later_mutant("blocks.0.attention", PAIR)  # its projections run as one product there, and are not recorded
def scaled_by_the_root_of_the_rank() -> Patch:
    """Rank-stabilised LoRA, alpha / sqrt(rank), is another method (Kalajdzievski 2023)."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return Linear.forward(self, x) + (self.dropout(x) @ self.lora_a @ self.lora_b) * self.alpha / self.rank**0.5

    return patch.object(LoRALinear, "forward", forward)


@later_mutant("dropout", PAIR)
def output_of_the_adapter_dropped_instead_of_its_input() -> Patch:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = Linear.forward(self, x)
        if not self.dropout.active:
            return y + (x @ self.lora_a @ self.lora_b) * (self.alpha / self.rank)
        keep = self.dropout.keep[..., :1] / (1 - self.dropout.rate)
        return y + keep * (x @ self.lora_a @ self.lora_b) * (self.alpha / self.rank)

    return patch.object(LoRALinear, "forward", forward)


@later_mutant("dropout", PAIR)
def base_reads_what_the_adapter_drops_too() -> Patch:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = self.dropout(x)
        return Linear.forward(self, x) + (x @ self.lora_a @ self.lora_b) * (self.alpha / self.rank)

    return patch.object(LoRALinear, "forward", forward)


@later_mutant("blocks.0.mlp.down", PAIR)
def gradient_stops_at_b() -> Patch:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        low = (self.dropout(x) @ self.lora_a).detach()
        return Linear.forward(self, x) + (low @ self.lora_b) * (self.alpha / self.rank)

    return patch.object(LoRALinear, "forward", forward)
