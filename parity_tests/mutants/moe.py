"""Seeded bugs in routing, capacity and experts."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

import math
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.config.parts import MoE
from jaxdec.parity.certificate.mutant import Patch
from jaxdec.parity.certificate.mutants.rounded import rounded
from parity_tests.mutants.registry import mutant, together
from parity_tests.mutants.tiny import DROPS
from torchref.layers.moe import moe, router
from torchref.training import optim

ROUTED = "moe-gpt"
FIRST = "blocks.0.mlp"

# Choices and gates


@mutant("blocks.1.mlp", ROUTED)
def gates_not_normalised_over_the_chosen() -> Patch:
    original = router.gates
    return patch.object(router, "gates", lambda scores, chosen, over: original(scores, chosen, "all"))


@mutant(FIRST, DROPS)
def gates_normalised_over_the_chosen() -> Patch:
    original = router.gates
    return patch.object(router, "gates", lambda scores, chosen, over: original(scores, chosen, "chosen"))


@mutant("blocks.1.mlp", ROUTED)
def gates_of_the_choices_exchanged() -> Patch:
    original = router.gates
    return patch.object(router, "gates", lambda *given: original(*given).flip(-1))


@mutant("blocks.1.mlp", ROUTED)
def lowest_scores_chosen() -> Patch:
    original = router.choose
    return patch.object(router, "choose", lambda scores, top_k: original(-scores, top_k))


@mutant("blocks.1.mlp", ROUTED)
def gates_applied_before_the_experts() -> Patch:
    """The gate scales what an expert reads, not what it returns."""
    gates, one, latest = router.gates, moe.Experts.one, []

    def remember(scores: Tensor, chosen: Tensor, over: Any) -> Tensor:
        latest[:] = [gates(scores, chosen, over), chosen]
        return torch.ones_like(latest[0])

    def scaled(self: Any, expert: int, x: Tensor) -> Tensor:
        tokens, choices = torch.nonzero(latest[1] == expert, as_tuple=True)
        return one(self, expert, x * latest[0][tokens, choices][:, None])

    return together(patch.object(router, "gates", remember), patch.object(moe.Experts, "one", scaled))


@mutant("blocks.1.mlp", ROUTED)
def one_choice_fewer() -> Patch:
    original = router.choose
    return patch.object(router, "choose", lambda scores, top_k: original(scores, top_k - 1))


@mutant("blocks.1.mlp.router", ROUTED)
def router_in_float32() -> Patch:
    forward = lambda self, x: (y := F.linear(x, self.weight)) + (rounded(y) - y).detach()
    return patch.object(moe.RouterLinear, "forward", forward)


@mutant("blocks.1.mlp", ROUTED)
def no_gradient_through_the_gates() -> Patch:
    """Only the router's own losses teach it."""
    original = router.gates
    return patch.object(router, "gates", lambda *given: original(*given).detach())


# Capacity


@mutant(FIRST, DROPS)
def placed_token_by_token() -> Patch:
    """A token's second choice before the next token's first."""

    def kept(chosen_NK: Tensor, experts: int, slots: int) -> Tensor:
        taken_AE = F.one_hot(chosen_NK.flatten(), experts)
        return (((taken_AE.cumsum(0) - taken_AE) * taken_AE).sum(-1) < slots).view_as(chosen_NK)

    return patch.object(router, "kept", kept)


@mutant(FIRST, DROPS)
def training_capacity_at_evaluation() -> Patch:
    original = router.capacity
    return patch.object(router, "capacity", lambda part, tokens, training: original(part, tokens, training=True))


@mutant(FIRST, DROPS, named="loss")
def evaluation_capacity_in_training() -> Patch:
    """Activations are compared in evaluation, where it is right: only the loss shows it."""
    original = router.capacity
    return patch.object(router, "capacity", lambda part, tokens, training: original(part, tokens, training=False))


def _share(part: MoE, tokens: int, training: bool) -> float:
    factor = part.capacity_factor if training else part.eval_capacity_factor
    return part.top_k * (factor or part.experts) * tokens / part.experts


@mutant(FIRST, DROPS)
def capacity_not_rounded_to_even() -> Patch:
    return patch.object(router, "capacity", lambda part, tokens, training: math.floor(_share(part, tokens, training)))


@mutant(FIRST, DROPS)
def capacity_rounded_up_to_even() -> Patch:
    rounded = lambda part, tokens, training: 2 * math.ceil(_share(part, tokens, training) / 2)
    return patch.object(router, "capacity", rounded)


@mutant(FIRST, DROPS)
def capacity_for_one_choice() -> Patch:
    rounded = lambda part, tokens, training: int(_share(part, tokens, training) / part.top_k) // 2 * 2
    return patch.object(router, "capacity", rounded)


@mutant(FIRST, DROPS)
def one_slot_too_few() -> Patch:
    original = router.kept
    return patch.object(router, "kept", lambda chosen, experts, slots: original(chosen, experts, slots - 1))


@mutant(FIRST, DROPS)
def gates_of_the_dropped_given_to_the_kept() -> Patch:
    gates, kept, latest = router.gates, router.kept, []

    def remember(*given: Any) -> Tensor:
        latest.append(kept(*given))
        return latest[-1]

    def normalised(*given: Any) -> Tensor:
        weights = gates(*given)
        left = weights * latest[-1]
        return left / left.sum(-1, keepdim=True).clamp_min(1e-9) * weights.sum(-1, keepdim=True)

    return patch.multiple(router, gates=normalised, kept=remember)


# Experts


@mutant(FIRST, DROPS)
def gate_and_up_exchanged() -> Patch:
    original, other = moe.Experts.linear, {"gate": "up", "up": "gate", "down": "down"}
    return patch.object(moe.Experts, "linear", lambda self, name, *inputs: original(self, other[name], *inputs))


@mutant("blocks.1.mlp", ROUTED)
def neighbouring_expert_used() -> Patch:
    original = moe.Experts.one
    return patch.object(moe.Experts, "one", lambda self, expert, x: original(self, (expert + 1) % 4, x))


@mutant("blocks.0.mlp.shared", DROPS)
def shared_expert_left_out() -> Patch:
    original = moe.MoEModule.__init__

    def init(self: Any, *given: Any) -> None:
        original(self, *given)
        self.shared.register_forward_hook(lambda module, inputs, output: 0 * output)

    return patch.object(moe.MoEModule, "__init__", init)


@mutant("optimizer", DROPS)
def stacked_biases_decayed() -> Patch:
    def groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
        parameters = list(model.parameters())
        return [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]

    return patch.object(optim, "parameter_groups", groups)


# Initial weights


@mutant("initial weights", ROUTED, "init")
def cut_not_made_up_for() -> Patch:
    def draw(shape: tuple[int, ...], variance: float) -> Tensor:
        std = variance**0.5
        return torch.nn.init.trunc_normal_(torch.empty(shape), std=std, a=-2 * std, b=2 * std)

    return patch.object(moe, "truncated_normal", draw)


@mutant("initial weights", ROUTED, "init")
def normals_not_cut() -> Patch:
    return patch.object(moe, "truncated_normal", lambda shape, variance: variance**0.5 * torch.randn(shape))
