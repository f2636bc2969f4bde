"""What a reference is made of: the modules that run, and by which tap a fault in one of them is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from jaxdec.parity.adapters.float64 import everything_in_float64
from jaxdec.parity.adapters.reference import parameters_of
from jaxdec.parity.locate.replay import WHOLE
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.reference_side import tensors_of
from jaxdec.parity.sides.stages import Sides

PLACES = 2  # modules that a bug is seeded in, unless said otherwise: the first and the last


@dataclass(frozen=True)
class Anatomy:
    """The reference of `sides`, with its generic weights."""

    sides: Sides

    @cached_property
    def model(self) -> nn.Module:
        return self.sides.reference.build(Setting("generic"))

    @cached_property
    def batch(self) -> Any:
        return tensors_of(self.sides.pair.draw(0, 1)[0])

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of what each module returns, in the order of execution; those that return no float tensor are left
        out, as are those that run more than once."""
        found: dict[str, tuple[int, ...] | None] = {}
        indexed = self.__dict__["_indexed"] = set()

        def note(path: str) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, output: Any) -> None:
                if args and isinstance(args[0], torch.Tensor) and not args[0].is_floating_point():
                    indexed.add(path)
                once = isinstance(output, torch.Tensor) and output.is_floating_point() and path not in found
                found[path] = tuple(output.shape) if once else None

            return hook

        handles = [module.register_forward_hook(note(path)) for path, module in self.model.named_modules() if path]
        with torch.no_grad(), everything_in_float64():
            self.sides.reference.call(self.model, self.batch)
        for handle in handles:
            handle.remove()
        return {path: shape for path, shape in found.items() if shape is not None}

    @cached_property
    def leaves(self) -> list[str]:
        """Modules without submodules that have parameters."""
        return [
            path
            for path in self.shapes
            if not list(self.model.get_submodule(path).children()) and list(self.model.get_submodule(path).parameters())
        ]

    @cached_property
    def tables(self) -> list[str]:
        """Modules that look up rows of a weight: what they read first is whole numbers."""
        return [path for path in self.leaves if path in self.indexed]

    @cached_property
    def indexed(self) -> set[str]:
        self.shapes  # noqa: B018 - runs the model
        return self.__dict__["_indexed"]

    def order(self, name: str) -> int:
        """When the module of a parameter runs."""
        return list(self.shapes).index(name.rpartition(".")[0])

    @cached_property
    def names(self) -> dict[str, str]:
        return self.sides.reference.names(self.model)

    @cached_property
    def tapped(self) -> set[str]:
        """Taps of both sides."""
        at = Setting("generic")
        return set(self.sides.candidate.forward(at).left) & set(self.sides.reference.forward(at).left)

    def where(self, path: str) -> str:
        """The innermost tap of both sides around a module's code."""
        while path:
            if self.names.get(path) in self.tapped:
                return self.names[path]
            path = path.rpartition(".")[0]
        return WHOLE

    @cached_property
    def null(self) -> set[str]:
        """The reference's parameters that cannot change the output, as a whole."""
        model = self.sides.reference.build(Setting("generic"))
        with everything_in_float64():
            self.sides.reference._backward(model, self.batch)
        sizes = {
            name: 0.0 if value.grad is None else float(value.grad.abs().max())
            for name, value in parameters_of(model).items()
        }
        return {name for name, size in sizes.items() if size <= 1e-12 * max(sizes.values())}

    def matrices(self) -> dict[str, nn.Parameter]:
        """Two-dimensional parameters that change the output, by name."""
        return {name: each for name, each in parameters_of(self.model).items() if each.ndim == 2 and self.counts(name)}

    def counts(self, name: str) -> bool:
        """Whether a parameter belongs to a module that runs and changes the output."""
        return name not in self.null and name.rpartition(".")[0] in self.shapes


def spread(items: Sequence[Any], count: int = PLACES) -> list[Any]:
    """The first, the last, and evenly those between."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
