"""Seeded bugs: each is one small change to the twin, or to how it is trained, of a kind that ports really have.

A mutant names the stage that must catch it, the first tensor over its bar there, and the case that shows it. Each is a
function that returns the patch, a context manager.
"""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

from jaxdec.interop import torchref as bridge
from parity_tests.cases import GENERIC, INIT, Case
from torchref import generate, optim, train
from torchref.layers import attention, block, dropout, embed, linear, mlp, norm
from torchref.models import decoder

Patch = AbstractContextManager[Any]


@dataclass(frozen=True)
class Mutant:
    name: str
    apply: Callable[[], Patch]
    stage: str
    first: str  # what the name of the first tensor over its bar starts with
    case: Case


MUTANTS: list[Mutant] = []


def mutant(stage: str, first: str, case: Case = GENERIC) -> Callable[[Callable[[], Patch]], Callable[[], Patch]]:
    def register(apply: Callable[[], Patch]) -> Callable[[], Patch]:
        MUTANTS.append(Mutant(apply.__name__, apply, stage, first, case))
        return apply

    return register


# The bridge and initial weights


@mutant("taps", "blocks.0.attention.out")
def square_kernel_not_transposed() -> Patch:
    def turned(name: str, array: Any) -> Any:
        square = array.ndim == 2 and array.shape[0] == array.shape[1]
        return array.T if name.endswith("kernel") and not square else array

    return patch.object(bridge, "_turned", turned)


@mutant("init", "blocks.0.attention.out.kernel deviation", INIT)
def residual_projections_not_scaled() -> Patch:
    return _initialised(lambda inputs, outputs, bias, init_std: (inputs, outputs, bias, 0.02))


def _initialised(change: Callable[..., tuple[int, int, bool, float]]) -> Patch:
    original = linear.Linear.__init__

    def init(self: Any, inputs: int, outputs: int, *, bias: bool, init_std: float) -> None:
        inputs, outputs, bias, init_std = change(inputs, outputs, bias, init_std)
        original(self, inputs, outputs, bias=bias, init_std=init_std)

    return patch.object(linear.Linear, "__init__", init)


@mutant("init", "token_embed.embedding", INIT)
def embeddings_drawn_with_std_one() -> Patch:
    original = embed.Embed.__init__

    def init(self: Any, rows: int, width: int, *, init_std: float, compute_dtype: torch.dtype) -> None:
        original(self, rows, width, init_std=1.0, compute_dtype=compute_dtype)

    return patch.object(embed.Embed, "__init__", init)


@mutant("init", "blocks.", INIT)
def weights_drawn_uniformly() -> Patch:
    """With the right standard deviation: only the kurtosis tells."""
    uniform = lambda *shape: (2 * torch.rand(*shape) - 1) * 3**0.5
    return patch.object(linear, "torch", SimpleNamespace(randn=uniform, zeros=torch.zeros))


# Embeddings and norms


@mutant("taps", "position_embed")
def positions_from_one() -> Patch:
    original = embed.Embed.forward
    shifted = lambda self, ids: original(self, (ids + 1) % len(self.weight) if len(ids) == 1 else ids)
    return patch.object(embed.Embed, "forward", shifted)


@mutant("taps", "token_embed")
def embedding_times_root_width() -> Patch:
    original = embed.Embed.forward
    return patch.object(embed.Embed, "forward", lambda self, ids: original(self, ids) * self.weight.shape[1] ** 0.5)


@mutant("taps", "blocks.0.attention_norm", INIT)
def norm_epsilon_of_flax() -> Patch:
    return _norm(lambda x, w, b, epsilon: F.layer_norm(x, w.shape, w, b, 1e-6))


@mutant("taps", "blocks.0.attention_norm", INIT)
def norm_epsilon_outside_the_root() -> Patch:
    return _norm(
        lambda x, w, b, epsilon: (x - x.mean(-1, True)) / (x.std(-1, correction=0, keepdim=True) + epsilon) * w + b
    )


@mutant("taps", "blocks.0.attention_norm")
def norm_with_unbiased_variance() -> Patch:
    return _norm(lambda x, w, b, epsilon: (x - x.mean(-1, True)) / (x.var(-1, keepdim=True) + epsilon).sqrt() * w + b)


@mutant("taps", "blocks.0.attention_norm")
def norm_without_mean() -> Patch:
    return _norm(lambda x, w, b, epsilon: F.rms_norm(x, w.shape, w, epsilon) + b)


@mutant("taps", "blocks.0.attention_norm")
def norm_in_float32() -> Patch:
    """A cast that caps a float64 run: not wrong in itself, but it would hide what is."""
    return _norm(lambda x, w, b, epsilon: F.layer_norm(x.float(), w.shape, w.float(), b.float(), epsilon).to(x.dtype))


def _norm(formula: Callable[..., torch.Tensor]) -> Patch:
    forward = lambda self, x: formula(x, self.weight, self.bias, self.epsilon)
    return patch.object(norm.LayerNorm, "forward", forward)


@mutant("taps", "final_norm")
def final_norm_left_out() -> Patch:
    class Identity(norm.LayerNorm):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    return patch.object(decoder, "LayerNorm", Identity)


# Attention, feed-forward, block


@mutant("taps", "blocks.0.attention.out")
def attention_sees_the_next_token() -> Patch:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).tril(1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return _attention(attend)


@mutant("taps", "blocks.0.attention.out")
def attention_not_scaled() -> Patch:
    return _attention(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0))


@mutant("taps", "blocks.0.attention.out")
def attention_scaled_by_the_width() -> Patch:
    width = lambda q: q.shape[1] * q.shape[3]
    return _attention(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=width(q) ** -0.5))


@mutant("taps", "blocks.0.attention.out")
def query_and_key_swapped() -> Patch:
    return _attention(lambda q, k, v: F.scaled_dot_product_attention(k, q, v, is_causal=True))


def _attention(attend: Callable[..., torch.Tensor]) -> Patch:
    kernel = lambda q, k, v, is_causal: attend(q, k, v)
    return patch.object(attention, "F", SimpleNamespace(scaled_dot_product_attention=kernel))


@mutant("taps", "blocks.0.attention.out")
def heads_interleaved() -> Patch:
    split = lambda self, x: x.unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2)
    return patch.object(attention.Attention, "split_heads", split)


@mutant("taps", "blocks.0.attention.out")
def biases_left_out() -> Patch:
    return patch.object(linear.Linear, "forward", lambda self, x: F.linear(x, self.weight.to(x.dtype)))


@mutant("gradients", "blocks.0.attention.query.bias", INIT)
def biases_left_out_at_zero() -> Patch:
    """Zero biases hide it from every output; their gradients do not."""
    return biases_left_out()


@mutant("taps", "blocks.0.mlp.down", INIT)
def gelu_with_erf() -> Patch:
    return patch.dict(mlp.ACTIVATIONS, {"gelu_tanh": mlp.gelu})


@mutant("taps", "blocks.0.mlp_norm")
def attention_and_mlp_in_parallel() -> Patch:
    forward = lambda self, x: x + self.attention(self.attention_norm(x)) + self.mlp(self.mlp_norm(x))
    return patch.object(block.Block, "forward", forward)


# Head and loss


@mutant("gradients", "token_embed.embedding")
def tied_head_without_gradient() -> Patch:
    return patch.object(decoder, "F", SimpleNamespace(linear=lambda x, weight: F.linear(x, weight.detach())))


@mutant("loss", "loss")
def mean_over_all_targets() -> Patch:
    return _loss(lambda loss, logits, targets, mask: loss(logits, targets, mask) * mask.mean())


@mutant("loss", "loss")
def loss_mask_ignored() -> Patch:
    return _loss(lambda loss, logits, targets, mask: loss(logits, targets, torch.ones_like(mask)))


@mutant("loss", "loss")
def targets_shifted_twice() -> Patch:
    return _loss(lambda loss, logits, targets, mask: loss(logits, targets.roll(-1, 1), mask))


def _loss(change: Callable[..., torch.Tensor]) -> Patch:
    original = train.language_loss
    return patch.object(train, "language_loss", lambda *inputs: change(original, *inputs))


@mutant("accumulation", "loss")
def mean_of_means() -> Patch:
    def accumulate(model: Any, batch: Any, parts: int) -> torch.Tensor:
        cut = [torch.from_numpy(batch[name]).chunk(parts) for name in ("tokens", "targets", "mask")]
        losses = [
            train.language_loss(model(tokens), targets.long(), mask) / mask.sum() / parts
            for tokens, targets, mask in zip(*cut, strict=True)
        ]
        sum(losses).backward()  # type: ignore[union-attr]
        return torch.stack(losses).sum().detach()

    return patch.object(train, "accumulate_gradients", accumulate)


# Dropout


@mutant("dropout", "loss")
def dropout_not_scaled_up() -> Patch:
    return patch.object(dropout.Dropout, "forward", lambda self, x: x * self.keep if self.active else x)


@mutant("dropout", "loss")
def dropout_before_the_residual_sum_left_out() -> Patch:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp_dropout(self.mlp(self.mlp_norm(x)))

    return patch.object(block.Block, "forward", forward)


@mutant("dropout", "loss")
def attention_weights_not_dropped() -> Patch:
    original = attention.attend
    whole = lambda *inputs: original(*inputs[:-1], dropout.Dropout(0.0))
    return patch.object(attention, "attend", whole)


# Schedule and optimizer


@mutant("schedule", "step 0")
def schedule_one_step_ahead() -> Patch:
    return _rate(lambda rate, config, decay_steps, step: rate(config, decay_steps, step + 1))


@mutant("schedule", "step 11")
def cosine_over_one_step_less() -> Patch:
    return _rate(lambda rate, config, decay_steps, step: rate(config, decay_steps - 1, step))


@mutant("schedule", "step 0")
def warmup_from_zero() -> Patch:
    return _rate(
        lambda rate, config, decay_steps, step: (
            config.learning_rate * step / config.warmup_steps
            if step < config.warmup_steps
            else rate(config, decay_steps, step)
        )
    )


@mutant("schedule", "step 11")
def cosine_down_to_zero() -> Patch:
    def falling(rate: Any, config: Any, decay_steps: int, step: int) -> float:
        if step < config.warmup_steps:
            return rate(config, decay_steps, step)
        progress = min(1.0, (step - config.warmup_steps) / (decay_steps - config.warmup_steps))
        return max(config.min_learning_rate, 0.5 * config.learning_rate * (1 + math.cos(math.pi * progress)))

    return _rate(falling)


def _rate(change: Callable[..., float]) -> Patch:
    original = train.learning_rate
    return patch.object(train, "learning_rate", lambda *inputs: change(original, *inputs))


@mutant("optimizer", "")
def rate_set_after_the_update() -> Patch:
    def update(model: Any, optimizer: Any, config: Any, step: int) -> torch.Tensor:
        norm = train.clip_by_global_norm(model.parameters(), config.optim.clip_norm)
        optimizer.step()
        train.set_learning_rate(optimizer, train.learning_rate(config.optim, config.decay_steps, step))
        return norm

    return patch.object(train, "update", update)


@mutant("optimizer", "")
def clip_without_epsilon() -> Patch:
    def clip(parameters: Any, max_norm: float) -> torch.Tensor:
        grads = [p.grad for p in parameters]
        norm = torch.cat([g.flatten() for g in grads]).norm()
        for g in grads:
            g *= torch.clamp(max_norm / norm, max=1.0)
        return norm

    return patch.object(train, "clip_by_global_norm", clip)


@mutant("optimizer", "")
def clip_each_tensor_alone() -> Patch:
    original = train.clip_by_global_norm
    alone = lambda parameters, max_norm: next(iter([original([p], max_norm) for p in parameters]))
    return patch.object(train, "clip_by_global_norm", alone)


@mutant("optimizer", "")
def not_clipped() -> Patch:
    original = train.clip_by_global_norm
    return patch.object(train, "clip_by_global_norm", lambda parameters, max_norm: original(parameters, None))


@mutant("optimizer", "blocks.0.attention_norm.scale")
def norms_and_biases_decayed() -> Patch:
    return patch.object(
        optim, "parameter_groups", lambda model, decay: [{"params": model.parameters(), "weight_decay": decay}]
    )


@mutant("optimizer", "token_embed.embedding")
def embeddings_not_decayed() -> Patch:
    def groups(model: Any, decay: float) -> list[dict]:
        decayed = {name for name, p in model.named_parameters() if p.ndim >= 2 and "embed" not in name}
        split = {True: [], False: []}
        for name, p in model.named_parameters():
            split[name in decayed].append(p)
        return [{"params": split[True], "weight_decay": decay}, {"params": split[False], "weight_decay": 0.0}]

    return patch.object(optim, "parameter_groups", groups)


class Adam(torch.optim.AdamW):
    """AdamW written out, so that one term can be changed."""

    inside_the_root = before_correction = no_correction = coupled = decay_not_scaled = False

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            rate, epsilon, decay = group["lr"], group["eps"], group["weight_decay"]
            for p in group["params"]:
                state, grad = self.state[p], p.grad + decay * p if self.coupled else p.grad
                if not state:
                    state.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
                state["t"] += 1
                state["m"].lerp_(grad, 1 - beta1)
                state["v"].lerp_(grad * grad, 1 - beta2)
                first, second = (1, 1) if self.no_correction else (1 - beta1 ** state["t"], 1 - beta2 ** state["t"])
                if self.inside_the_root:
                    denominator = (state["v"] / second + epsilon).sqrt()
                elif self.before_correction:
                    denominator = (state["v"].sqrt() + epsilon) / second**0.5
                else:
                    denominator = (state["v"] / second).sqrt() + epsilon
                if not self.coupled:
                    p -= (1e-3 if self.decay_not_scaled else rate) * decay * p
                p -= rate * state["m"] / first / denominator


def adam(**changes: bool) -> Patch:
    return patch.object(torch.optim, "AdamW", type("Changed", (Adam,), changes))


@mutant("optimizer", "")
def adam_epsilon_inside_the_root() -> Patch:
    return adam(inside_the_root=True)


@mutant("optimizer", "")
def adam_epsilon_before_bias_correction() -> Patch:
    return adam(before_correction=True)


@mutant("optimizer", "")
def adam_without_bias_correction() -> Patch:
    return adam(no_correction=True)


@mutant("optimizer", "")
def decay_coupled_to_the_gradient() -> Patch:
    return adam(coupled=True)


@mutant("optimizer", "")
def decay_not_scaled_by_the_schedule() -> Patch:
    return adam(decay_not_scaled=True)


@mutant("optimizer", "")
def beta2_of_torch() -> Patch:
    original = torch.optim.AdamW
    changed = lambda groups, betas, **rest: original(groups, betas=(betas[0], 0.999), **rest)
    return patch.object(torch.optim, "AdamW", changed)


@mutant("trajectory", "loss of step 2")
def gradients_not_reset() -> Patch:
    return patch.object(torch.optim.AdamW, "zero_grad", lambda self, set_to_none: None)


# Generation


@mutant("greedy", "prompt 2")
def window_slides_past_the_context() -> Patch:
    return patch.object(generate, "window_size", min)


@mutant("sampling", "prompt")
def top_p_without_the_token_that_crosses() -> Patch:
    original = generate.keep_first

    def keep_first(logits: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        crossing = kept & ~kept.roll(-1, -1) if kept.ndim == 2 else torch.zeros_like(kept)
        return original(logits, kept & ~crossing | (torch.arange(kept.shape[-1]) == 0))

    return patch.object(generate, "keep_first", keep_first)


@mutant("sampling", "prompt")
def temperature_after_the_filters() -> Patch:
    original = generate.shape_logits

    def shape(logits: torch.Tensor, sampling: generate.Sampling) -> torch.Tensor:
        cold = generate.Sampling(1.0, sampling.top_k, sampling.top_p, sampling.min_p)
        return original(logits, cold) / sampling.temperature

    return patch.object(generate, "shape_logits", shape)
