"""True float64 for torch models that ask for float32 by name.

After `model.double()` the norms, rotary tables, softmaxes and routers of transformers' models still cast to float32,
which leaves an error of 3e-8 to 9e-7: as large as many a bug. Inside `everything_in_float64` no such cast happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def everything_in_float64() -> Iterator[None]:
    """For the length of the block torch makes and casts to float64 wherever float32 was asked for, or nothing was.

    Build the model inside too: rotary frequencies are computed once, then. The backward pass of a CPU runs in the
    thread that called it, so that a `backward()` inside the block is covered.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    def wide(value: Any) -> Any:
        return torch.float64 if value is torch.float32 else value

    class Float64(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*map(wide, args), **{name: wide(value) for name, value in (kwargs or {}).items()})

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with Float64():
            yield
    finally:
        torch.set_default_dtype(default)
