"""Seeded bugs in weights, embeddings, norms, attention and blocks."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

from jaxdec.parity.certificate.mutant import Patch
from jaxdec.parity.certificate.mutants.rounded import rounded
from parity_tests.mutants.registry import mutant
from torchref.layers import block, embed, linear, mlp, norm
from torchref.layers.attention import attention, kernel
from torchref.models import decoder

# Initial weights


@mutant("initial weights", weight_init="init")
def residual_projections_not_scaled() -> Patch:
    return _initialised(lambda inputs, outputs, bias, init_std: (inputs, outputs, bias, 0.02))


def _initialised(change: Callable[..., tuple[int, int, bool, float]]) -> Patch:
    original = linear.Linear.__init__

    def init(self: Any, inputs: int, outputs: int, *, bias: bool, init_std: float) -> None:
        inputs, outputs, bias, init_std = change(inputs, outputs, bias, init_std)
        original(self, inputs, outputs, bias=bias, init_std=init_std)

    return patch.object(linear.Linear, "__init__", init)


@mutant("initial weights", weight_init="init")
def embeddings_drawn_with_std_one() -> Patch:
    original = embed.Embed.__init__

    def init(self: Any, rows: int, width: int, *, init_std: float, compute_dtype: torch.dtype) -> None:
        original(self, rows, width, init_std=1.0, compute_dtype=compute_dtype)

    return patch.object(embed.Embed, "__init__", init)


@mutant("initial weights", weight_init="init")
def weights_drawn_uniformly() -> Patch:
    """With the right standard deviation: only the kurtosis tells."""
    uniform = lambda *shape: (2 * torch.rand(*shape) - 1) * 3**0.5
    return patch.object(linear, "torch", SimpleNamespace(randn=uniform, zeros=torch.zeros))


# Embeddings and norms


@mutant("position_embed")
def positions_from_one() -> Patch:
    original = embed.Embed.forward
    shifted = lambda self, ids: original(self, (ids + 1) % len(self.weight) if len(ids) == 1 else ids)
    return patch.object(embed.Embed, "forward", shifted)


@mutant("token_embed")
def embedding_times_root_width() -> Patch:
    original = embed.Embed.forward
    return patch.object(embed.Embed, "forward", lambda self, ids: original(self, ids) * self.weight.shape[1] ** 0.5)


@mutant("blocks.0.attention_norm", weight_init="init")
def norm_epsilon_of_flax() -> Patch:
    return _norm(lambda x, w, b, epsilon: F.layer_norm(x, w.shape, w, b, 1e-6))


@mutant("blocks.0.attention_norm", weight_init="init")
def norm_epsilon_outside_the_root() -> Patch:
    return _norm(
        lambda x, w, b, epsilon: (x - x.mean(-1, True)) / (x.std(-1, correction=0, keepdim=True) + epsilon) * w + b
    )


@mutant("blocks.0.attention_norm")
def norm_with_unbiased_variance() -> Patch:
    return _norm(lambda x, w, b, epsilon: (x - x.mean(-1, True)) / (x.var(-1, keepdim=True) + epsilon).sqrt() * w + b)


@mutant("blocks.0.attention_norm")
def norm_without_mean() -> Patch:
    return _norm(lambda x, w, b, epsilon: F.rms_norm(x, w.shape, w, epsilon) + b)


@mutant("blocks.0.attention_norm")
def norm_in_float32() -> Patch:
    """A loss of precision that caps a float64 run: not wrong in itself, but it would hide what is."""
    narrow = lambda x: x + (rounded(x) - x).detach()
    return _norm(lambda x, w, b, epsilon: narrow(F.layer_norm(narrow(x), w.shape, w, b, epsilon)))


def _norm(formula: Callable[..., torch.Tensor]) -> Patch:
    forward = lambda self, x: formula(x, self.weight, self.bias, self.epsilon)
    return patch.object(norm.LayerNormModule, "forward", forward)


@mutant("final_norm")
def final_norm_left_out() -> Patch:
    class Identity(norm.LayerNormModule):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    identity = lambda width, config, bias: Identity(width, epsilon=config.epsilon, scale=True, bias=bias)
    return patch.object(decoder, "make_norm", identity)


# Attention, feed-forward, block


@mutant("blocks.0.attention")
def attention_sees_the_next_token() -> Patch:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).tril(1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return _attention(attend)


@mutant("blocks.0.attention")
def attention_not_scaled() -> Patch:
    return _attention(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0))


@mutant("blocks.0.attention")
def attention_scaled_by_the_width() -> Patch:
    width = lambda q: q.shape[1] * q.shape[3]
    return _attention(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=width(q) ** -0.5))


@mutant("blocks.0.attention")
def query_and_key_swapped() -> Patch:
    return _attention(lambda q, k, v: F.scaled_dot_product_attention(k, q, v, is_causal=True))


def _attention(attend: Callable[..., torch.Tensor]) -> Patch:
    fused = lambda q, k, v, is_causal: attend(q, k, v)
    return patch.object(kernel, "F", SimpleNamespace(scaled_dot_product_attention=fused))


@mutant("blocks.0.attention")
def heads_interleaved() -> Patch:
    split = lambda self, x: x.unflatten(-1, (self.config.resolved_head_dim, -1)).transpose(-1, -2)
    return patch.object(attention.Heads, "split_heads", split)


@mutant("blocks.0.attention")
def biases_left_out() -> Patch:
    return patch.object(linear.Linear, "forward", lambda self, x: F.linear(x, self.weight.to(x.dtype)))


@mutant("blocks.0.attention.out", weight_init="init")
def biases_left_out_at_zero() -> Patch:
    """Zero biases hide it from every output; their gradients do not."""
    return biases_left_out()


@mutant("blocks.0.mlp", weight_init="init")
def gelu_with_erf() -> Patch:
    return patch.dict(mlp.ACTIVATIONS, {"gelu_tanh": mlp.gelu})


@mutant("blocks.0")
def attention_and_mlp_in_parallel() -> Patch:
    forward = lambda self, x, _: (x + self.attention(self.attention_norm(x)) + self.mlp(self.mlp_norm(x)), None)
    return patch.object(block.Block, "forward", forward)
