"""Changes of the twin's code that change no function: the check must not mistake other code for a bug."""
# ruff: noqa: E731 - a mutant is one changed expression, which a lambda shows best

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from jaxdec.parity.certificate.mutant import Patch
from parity_tests.mutants.registry import equivalent
from parity_tests.mutants.training import adam
from torchref.layers import mlp, norm, position
from torchref.layers.attention import attention, kernel
from torchref.layers.linear import Linear


@equivalent("linear scaling")
def rotary_positions_from_one() -> Patch:
    """Only differences of positions reach the scores: a common offset of queries and keys is invisible."""

    def rotate(x: Tensor, rope: Any, positions: None) -> Tensor:
        padded = torch.cat([x[:, :, :1], x], dim=2)
        return position.rotate(padded, rope)[:, :, 1:]

    return patch.object(attention, "rotate", rotate)


@equivalent()
def key_bias_shifted() -> Patch:
    """Without rotary positions a key bias adds the same to all scores of a query, which the softmax takes out again."""
    original = attention.Heads.forward

    def forward(self: Any, x: Tensor, documents: Any) -> Tensor:
        with patch.object(self.key, "forward", lambda x: Linear.forward(self.key, x) + 0.3):
            return original(self, x, documents)

    return patch.object(attention.Heads, "forward", forward)


@equivalent("alibi")
def alibi_counted_from_the_start() -> Patch:
    """Slopes times the key's position, in place of its distance: the difference is the same for all keys of a query."""

    def attend(q: Tensor, k: Tensor, v: Tensor, *, pattern: Any, alibi: float, **_: Any) -> Tensor:
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        slots, slopes = torch.arange(q.shape[2]), kernel.alibi_slopes(q.shape[1], alibi)
        scores = scores + slopes[:, None, None] * slots[None, None, :]
        hidden = ~pattern.allowed(slots[:, None], slots[None, :])
        return torch.softmax(scores.masked_fill(hidden, -torch.inf), -1) @ v

    original = attention.attend
    plain = lambda *inputs, **given: (original if given["dropout"].active else attend)(*inputs, **given)
    return patch.object(attention, "attend", plain)


@equivalent()
def adam_written_out() -> Patch:
    """The same formulas in other operations."""
    return adam()


@equivalent()
def variance_as_mean_of_squares() -> Patch:
    """E[x^2] - E[x]^2 is the variance; in float64 its cancellation costs no digit that counts here."""

    def forward(self: Any, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = x.square().mean(-1, keepdim=True) - mean.square()
        return (x - mean) * (variance + self.epsilon).rsqrt() * self.weight + self.bias

    return patch.object(norm.LayerNormModule, "forward", forward)


@equivalent()
def hidden_channels_in_another_order() -> Patch:
    """The sum over hidden channels does not depend on their order."""

    def forward(self: Any, x: Tensor) -> Tensor:
        order = torch.arange(self.up.weight.shape[0]).flip(0)
        hidden = self.activation(F.linear(x, self.up.weight[order], self.up.bias[order]))
        return self.down(hidden[..., order])

    return patch.object(mlp.MLPModule, "forward", forward)


@equivalent("softcap")
def scores_less_their_maximum() -> Patch:
    """A softmax does not change when the same is taken from all scores of a query."""
    softmax = torch.softmax
    shifted = lambda x, *given, **named: softmax(x - x.amax(-1, keepdim=True).detach(), *given, **named)
    return patch.object(torch, "softmax", shifted)
