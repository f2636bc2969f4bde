"""A mixture of experts in place of a feed-forward layer (Shazeer et al. 2017; Fedus et al. 2021; Zoph et al. 2022).

Written as a loop: each expert picks out the tokens that chose it and have a slot there, and adds its output to theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MLP, GatedMLP, MoE
from torchref.layers.linear import Linear
from torchref.layers.mlp import ACTIVATIONS, gated_product, make_mlp
from torchref.layers.moe import router
from torchref.layers.promotion import at_least_float32


class RouterReport(NamedTuple):
    """The losses of a router, times their coefficients, and its metrics."""

    aux: dict[str, Tensor]
    metrics: dict[str, Tensor]


def truncated_normal(shape: tuple[int, ...], variance: float) -> Tensor:
    """Normal numbers without those beyond two standard deviations, widened so that `variance` holds after the cut."""
    std = variance**0.5 / 0.87962566103423978
    return nn.init.trunc_normal_(torch.empty(shape), std=std, a=-2 * std, b=2 * std)


class RouterLinear(nn.Module):
    """x [N,D] -> [N,E] in at least float32; `weight` is [E,D], `bias` [E] starts at zero, or is None."""

    def __init__(self, weight_ED: Tensor, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_ED)
        self.bias = nn.Parameter(torch.zeros(len(weight_ED))) if bias else None

    def forward(self, x_ND: Tensor) -> Tensor:
        x_ND = at_least_float32(x_ND)
        return F.linear(x_ND, self.weight.to(x_ND.dtype), None if self.bias is None else self.bias.to(x_ND.dtype))


class Experts(nn.Module):
    """Stacked feed-forward layers: `up` and, for gated layers, `gate` [E,D,F], `down` [E,F,D], each with a bias
    [E,...] or none."""

    def __init__(self, config: DecoderConfig, part: MoE) -> None:
        super().__init__()
        width, expert = config.width, part.expert
        match expert:
            case MLP():
                gated = False
            case GatedMLP():
                gated = True
            case _:
                assert_never(expert)
        hidden = expert.resolved_hidden(width)
        self.part = expert

        def kernel(inputs: int, outputs: int) -> nn.Parameter:
            return nn.Parameter(truncated_normal((part.experts, inputs, outputs), part.init_scale / inputs))

        def zeros(outputs: int) -> nn.Parameter | None:
            return nn.Parameter(torch.zeros(part.experts, outputs)) if config.bias else None

        self.gate = kernel(width, hidden) if gated else None
        self.gate_bias = zeros(hidden) if gated else None
        self.up, self.up_bias = kernel(width, hidden), zeros(hidden)
        self.down, self.down_bias = kernel(hidden, width), zeros(width)

    def one(self, expert: int, x_ND: Tensor) -> Tensor:
        """x [N,D] -> [N,D] through one expert."""
        hidden = self.linear("up", expert, x_ND)
        if isinstance(self.part, MLP):
            hidden = ACTIVATIONS[self.part.activation](hidden)
        else:
            hidden = gated_product(self.part, self.linear("gate", expert, x_ND), hidden)
        return self.linear("down", expert, hidden)

    def linear(self, name: str, expert: int, x: Tensor) -> Tensor:
        """x [N,in] -> [N,out] through one expert's kernel of that name, with its bias."""
        kernel, bias = getattr(self, name), getattr(self, f"{name}_bias")
        y = x @ kernel[expert].to(x.dtype)
        return y if bias is None else y + bias[expert].to(x.dtype)


class MoEModule(nn.Module):
    """x [B,T,D] -> [B,T,D] and a `RouterReport`; in training with noise, if any, and the training capacity.

    `noise_NE`, when set, is used instead of drawn noise, as `Dropout.keep` is. Router and experts start from truncated
    normals of variance init_scale / fan-in, biases and the size of the noise from zero.
    """

    def __init__(self, config: DecoderConfig, part: MoE) -> None:
        super().__init__()
        shape = (part.experts, config.width)
        self.part = part
        self.router = RouterLinear(truncated_normal(shape, part.init_scale / config.width), bias=part.router_bias)
        self.noise = RouterLinear(torch.zeros(shape), bias=False) if part.noisy else None
        self.experts = Experts(config, part)
        self.shared = None if part.shared is None else make_mlp(config, part.shared)
        gated = part.shared_gate
        self.shared_gate = Linear(config.width, 1, bias=False, init_std=config.init_std) if gated else None
        self.noise_NE: Tensor | None = None

    def forward(self, x_BTD: Tensor) -> tuple[Tensor, RouterReport]:
        part, x_ND = self.part, x_BTD.flatten(0, 1)
        scores_NE = self.router(x_ND)
        if self.noise is not None and self.training:
            noise_NE = torch.randn_like(scores_NE) if self.noise_NE is None else self.noise_NE
            scores_NE = router.noisy_scores(scores_NE, self.noise(x_ND), noise_NE)
        chosen_NK = router.choose(scores_NE, part.top_k)
        kept_NK = router.kept(chosen_NK, part.experts, router.capacity(part, len(x_ND), training=self.training))
        gates_NK = router.gates(scores_NE, chosen_NK, part.gates)
        y_ND = torch.zeros_like(x_ND, dtype=gates_NK.dtype)
        for expert in range(part.experts):
            tokens, choices = torch.nonzero((chosen_NK == expert) & kept_NK, as_tuple=True)
            gate = gates_NK[tokens, choices][:, None]
            y_ND = y_ND.index_add(0, tokens, gate * self.experts.one(expert, x_ND[tokens]))
        y_ND = y_ND.to(x_ND.dtype)
        if self.shared is not None:
            share_N1 = 1.0 if self.shared_gate is None else torch.sigmoid(self.shared_gate(x_ND))
            y_ND = y_ND + share_N1 * self.shared(x_ND)
        return y_ND.view_as(x_BTD), report(part, scores_NE, chosen_NK, kept_NK)


def report(part: MoE, scores_NE: Tensor, chosen_NK: Tensor, kept_NK: Tensor) -> RouterReport:
    """The auxiliary losses that count, and the routing's metrics."""
    aux = {}
    if part.balance_loss > 0:
        aux["balance_loss"] = part.balance_loss * router.balance_loss(scores_NE, chosen_NK)
    if part.z_loss > 0:
        aux["z_loss"] = part.z_loss * router.z_loss(scores_NE)
    load_E = F.one_hot(chosen_NK, part.experts).flatten(0, 1).to(scores_NE.dtype).mean(0) * part.experts
    metrics = {
        "dropped_fraction": 1 - kept_NK.to(scores_NE.dtype).mean(),
        "router_entropy": router.entropy(scores_NE).detach(),
        **{f"load.{expert}": load for expert, load in enumerate(load_E)},
    }
    return RouterReport(aux, metrics)


def summarise(reports: Sequence[RouterReport]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Auxiliary losses summed over layers, metrics averaged over the layers that have them."""

    def gathered(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        names = dict.fromkeys(name for part in parts for name in part)
        return {name: torch.stack([part[name] for part in parts if name in part]) for name in names}

    aux, metrics = (gathered([each[index] for each in reports]) for index in (0, 1))
    return {name: values.sum() for name, values in aux.items()}, {
        name: values.mean() for name, values in metrics.items()
    }
