"""Record what every submodule returns, by module path, without touching the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def torch_taps(model: torch.nn.Module) -> Iterator[dict[str, Any]]:
    """Forward hooks for the length of the block: {"blocks.0.mlp": tensor, ...}, the model itself left out."""
    record: dict[str, Any] = {}

    def hook(name: str) -> Any:
        return lambda module, inputs, output: record.__setitem__(name, _first(output))

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def nnx_taps(model: Any) -> Iterator[dict[str, Any]]:
    """The same for a flax.nnx module; inside a traced function the record holds tracers, to be returned from it.

    Classes are patched for the length of the block and instances told apart by identity, so that a model inside the
    same trace that was built elsewhere is left alone.
    """
    from flax import nnx

    names = {id(module): ".".join(map(str, path)) for path, module in nnx.iter_modules(model) if path}
    record: dict[str, Any] = {}
    originals: dict[type, Any] = {}

    def wrap(cls: type) -> None:
        call = originals[cls] = cls.__dict__["__call__"]

        def tapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            output = call(self, *args, **kwargs)
            if id(self) in names:
                record[names[id(self)]] = _first(output)
            return output

        cls.__call__ = tapped  # type: ignore[assignment]

    for cls in {type(module) for _, module in nnx.iter_modules(model) if "__call__" in type(module).__dict__}:
        wrap(cls)
    try:
        yield record
    finally:
        for cls, call in originals.items():
            cls.__call__ = call


def _first(output: Any) -> Any:
    """A module that also returns a cache or statistics returns its activation first."""
    return output[0] if isinstance(output, tuple) else output
