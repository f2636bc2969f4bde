"""The precision policy: master weights are cast to the activations' dtype where they are used, and whatever sums over
many values (norms, softmax, logits, loss) runs in at least float32."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in at least float32: bfloat16 becomes float32, and float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
