"""Seeded bugs in what the decoders of Qwen 2, OLMo 2, Gemma 2, GPT-OSS, Granite and SmolLM 3 have beside the common
parts."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import mutant, together
from parity_tests.mutants.tiny import MODELS
from torchref.layers import block, mlp, norm, position
from torchref.layers.attention import attention
from torchref.layers.moe import moe
from torchref.models import decoder

AFTER, BOTH, CLAMPED, SCALED = "norms after", "norms on both sides", "clamped experts", "scaled, layers differ"
HEADS, EXPERTS = "blocks.0.attention", "blocks.0.mlp"

# Norms


@mutant("blocks.0", AFTER)
def norm_of_the_sum_instead_of_the_branch() -> Patch:
    def forward(self: Any, x: Tensor, _: Any) -> tuple[Tensor, None]:
        x = self.attention_post_norm(x + self.attention(x))
        return self.mlp_post_norm(x + self.mlp(x)), None

    return patch.object(block.Block, "forward", forward)


@mutant("blocks.0", BOTH)
def post_norm_of_attention_left_out() -> Patch:
    first = lambda self, x: x + self.attention(self.attention_norm(x))
    second = lambda self, x: x + self.mlp_post_norm(self.mlp(self.mlp_norm(x)))
    return patch.object(block.Block, "forward", lambda self, x, _: (second(self, first(self, x)), None))


@mutant("blocks.0.attention.query_norm", AFTER)
def queries_and_keys_normed_head_by_head() -> Patch:
    plain = norm.RMSNormModule.forward

    def forward(self: Any, x: Tensor) -> Tensor:
        if self.epsilon == MODELS[AFTER].norm.epsilon:  # type: ignore[union-attr]
            return plain(self, x)
        heads = x.unflatten(-1, (-1, 8))
        return (heads * (heads.square().mean(-1, keepdim=True) + self.epsilon).rsqrt()).flatten(-2) * self.weight

    return patch.object(norm.RMSNormModule, "forward", forward)


# Scales and biases


def _scaled(change: Any) -> Patch:
    original: Any = attention.attend
    scaled = lambda *inputs, scale, **others: original(*inputs, scale=change(scale), **others)
    return patch.object(attention, "attend", scaled)


@mutant(HEADS, BOTH)
def scores_scaled_by_the_head_dim() -> Patch:
    return _scaled(lambda scale: None)


@mutant(HEADS, BOTH)
def score_scale_taken_for_its_square() -> Patch:
    return _scaled(lambda scale: scale**2)


@mutant("model", BOTH)
def embeddings_not_scaled() -> Patch:
    return patch.object(decoder.Decoder, "embed", lambda self, tokens, _: self.token_embed(tokens))


@mutant("model", BOTH, "init")
def embeddings_scaled_by_a_rounded_root() -> Patch:
    """As a model in bfloat16 scales them."""
    scale = torch.tensor(32**0.5, dtype=torch.bfloat16).double()
    return patch.object(decoder.Decoder, "embed", lambda self, tokens, _: self.token_embed(tokens) * scale)


@mutant("model", BOTH)
def tied_head_scaled_as_the_embeddings() -> Patch:
    original = decoder.Decoder.forward

    def forward(self: Any, tokens: Tensor) -> Any:
        output = original(self, tokens)
        return output._replace(logits_BTV=output.logits_BTV * self.config.embed_scale)

    return patch.object(decoder.Decoder, "forward", forward)


@mutant(HEADS, AFTER)
def value_bias_left_out() -> Patch:
    original = attention.Heads.forward

    def forward(self: Any, x: Tensor, documents: Any) -> Tensor:
        with patch.object(self.value, "forward", lambda x: F.linear(x, self.value.weight)):
            return original(self, x, documents)

    return patch.object(attention.Heads, "forward", forward)


# Gates


@mutant("blocks.0.mlp", BOTH)
def gated_by_the_exact_gelu() -> Patch:
    return patch.dict(mlp.ACTIVATIONS, gelu_tanh=mlp.gelu)


@mutant(EXPERTS, CLAMPED)
def gate_without_the_factor_1702() -> Patch:
    return patch.dict(mlp.ACTIVATIONS, gelu_sigmoid=F.silu)


def _gated(change: Any) -> Patch:
    """`change` makes other gates, ups and settings of those that it is given."""
    original = mlp.gated_product
    return patch.object(moe, "gated_product", lambda part, gate, up: original(*change(part, gate, up)))


@mutant(EXPERTS, CLAMPED)
def gate_clamped_on_both_sides() -> Patch:
    return _gated(lambda part, gate, up: (part, gate.clamp(min=-part.clamp), up))


@mutant(EXPERTS, CLAMPED)
def up_clamped_above_alone() -> Patch:
    def forward(part: Any, gate: Tensor, up: Tensor) -> Tensor:
        return mlp.gelu_sigmoid(gate.clamp(max=part.clamp)) * (up.clamp(max=part.clamp) + part.up_shift)

    return patch.object(moe, "gated_product", forward)


@mutant(EXPERTS, CLAMPED)
def up_shifted_before_the_clamp() -> Patch:
    return _gated(lambda part, gate, up: (replace(part, up_shift=0.0), gate, up + part.up_shift))


@mutant(EXPERTS, CLAMPED)
def up_not_shifted() -> Patch:
    return _gated(lambda part, gate, up: (replace(part, up_shift=0.0), gate, up))


# Router and positions


@mutant("blocks.0.mlp.router", CLAMPED)
def router_bias_left_out() -> Patch:
    return patch.object(moe.RouterLinear, "forward", lambda self, x: F.linear(x, self.weight))


@mutant(EXPERTS, CLAMPED)
def router_bias_in_the_choice_alone() -> Patch:
    """The chosen experts are weighted by their scores without it, as in DeepSeek's balancing."""
    original, biases = moe.router.gates, []
    plain = moe.RouterLinear.forward

    def scores(self: Any, x: Tensor) -> Tensor:
        biases.append(self.bias)
        return plain(self, x)

    gates = lambda scores, chosen, over: original(scores - biases[-1], chosen, over)
    return together(patch.object(moe.RouterLinear, "forward", scores), patch.object(moe.router, "gates", gates))


@mutant(HEADS, CLAMPED)
def yarn_ramp_rounded() -> Patch:
    original = position.yarn_frequencies
    rounded = lambda plain, scaling, theta: original(plain, replace(scaling, truncate=True), theta)
    return patch.object(position, "yarn_frequencies", rounded)


# Branches, logits, layers that differ


def _block(change: Any) -> Patch:
    """`change` makes another block of a block, and is undone behind it."""
    original = block.Block.forward

    def forward(self: Any, x: Tensor, documents: Any) -> Any:
        with change(self):
            return original(self, x, documents)

    return patch.object(block.Block, "forward", forward)


@mutant("blocks.0", SCALED)
def branches_not_scaled() -> Patch:
    return _block(lambda self: patch.object(self, "residual_scale", 1.0))


@mutant("blocks.0", SCALED)
def branches_scaled_by_the_root() -> Patch:
    return _block(lambda self: patch.object(self, "residual_scale", self.residual_scale**0.5))


def _logits(change: Any) -> Patch:
    original = decoder.Decoder.forward

    def forward(self: Any, tokens: Tensor) -> Any:
        output = original(self, tokens)
        return output._replace(logits_BTV=change(output.logits_BTV, self.config.logit_scale))

    return patch.object(decoder.Decoder, "forward", forward)


@mutant("model", SCALED)
def logits_not_scaled() -> Patch:
    return _logits(lambda logits, scale: logits / scale)


@mutant("model", SCALED)
def logits_divided_by_their_scale() -> Patch:
    return _logits(lambda logits, scale: logits / scale**2)


@mutant("blocks.1.attention", SCALED)
def layers_without_positions_turned() -> Patch:
    rope = MODELS[SCALED].decoder.position_of(0)  # type: ignore[union-attr]
    original = attention.Heads.forward

    def forward(self: Any, x: Tensor, documents: Any) -> Tensor:
        with patch.object(self, "position", rope):
            return original(self, x, documents)

    return patch.object(attention.Heads, "forward", forward)


# The shared expert


@mutant("blocks.1.mlp", SCALED)
def gate_of_the_shared_expert_left_out() -> Patch:
    return patch.object(moe.torch, "sigmoid", torch.ones_like)


@mutant("blocks.1.mlp", SCALED)
def gate_of_the_shared_expert_without_its_sigmoid() -> Patch:
    return patch.object(moe.torch, "sigmoid", lambda x: x)
