"""The PyTorch side of a pair: any `torch.nn.Module`, and how it is called and trained."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxdec.parity.adapters.candidate import logits_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

TorchBatch = Mapping[str, Any]


def call_with_tokens(model: nn.Module, batch: TorchBatch) -> Any:
    return model(batch["tokens"])


def cross_entropy(outputs: Any, batch: TorchBatch) -> Tensor:
    """The mean over the targets that count, in nats: sum(mask * loss) / sum(mask); in float32 at least."""
    import torch
    import torch.nn.functional as F

    scores_BTV, mask_BT = logits_of(outputs), batch["mask"]
    scores_BTV = scores_BTV.to(torch.promote_types(scores_BTV.dtype, torch.float32))
    losses_BT = F.cross_entropy(scores_BTV.flatten(0, 1), batch["targets"].flatten(), reduction="none")
    return (losses_BT * mask_BT.flatten()).sum() / mask_BT.sum()


def adamw(model: nn.Module) -> Callable[[int], None]:
    """AdamW with the defaults of torch: applies the gradients in `.grad`, whatever the step."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters())
    return lambda step: optimizer.step()


@dataclass(frozen=True)
class Reference:
    """`model` is a module with its own initial weights, or a function that builds one for a precision ("float64",
    "float32", "bfloat16"). What is left out fits a language model with a plain cross entropy.

    call: (model, batch of torch tensors) -> logits [B,T,V], or an object that has them as `logits`.
    loss: (what `call` returns, batch) -> the mean loss in nats, a tensor without axes.
    backward: (model, batch) -> the mean loss, after its gradients were added to `.grad`; in place of `loss`.
    optimizer: model -> a function of the step (from 0) that applies the gradients in `.grad`.
    generate: (model, prompt int [1,T], count) -> the `count` most likely next tokens [1,count]; None reads the whole
        text anew for each token.

    Dropout must be off (`eval()`): the check raises UserError where a layer drops.
    """

    model: nn.Module | Callable[[str], nn.Module]
    call: Callable[[nn.Module, TorchBatch], Any] = call_with_tokens
    loss: Callable[[Any, TorchBatch], Tensor] = cross_entropy
    backward: Callable[[nn.Module, TorchBatch], Tensor] | None = None
    optimizer: Callable[[nn.Module], Callable[[int], None]] = adamw
    generate: Callable[[nn.Module, Any, int], Any] | None = None

    def build(self, precision: str) -> nn.Module:
        """A module of its own for each call, so that no run leaves anything behind for the next."""
        import torch
        from torch import nn

        if isinstance(self.model, nn.Module):
            return copy.deepcopy(self.model).to(getattr(torch, precision))
        return self.model(precision)


def parameters_of(model: nn.Module) -> dict[str, torch.nn.Parameter]:
    """By name; a tied parameter once."""
    return dict(model.named_parameters())
