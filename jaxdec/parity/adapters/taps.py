"""Puts a `Probe` at every submodule, by module path, without touching the model.

What is tapped is the first floating array among a module's arguments, and the first among its results: a module that
also takes positions or returns a cache takes and returns its activation first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jaxdec.errors import UserError
from jaxdec.parity.adapters.probe import Probe, first_array

if TYPE_CHECKING:
    import torch


@contextmanager
def torch_probe(model: torch.nn.Module, probe: Probe, names: Mapping[str, str]) -> Iterator[None]:
    """Forward hooks for the length of the block on the modules that `names` maps to the names of their taps."""
    import torch

    def is_array(value: Any) -> bool:
        return isinstance(value, torch.Tensor) and value.is_floating_point()

    def before(name: str) -> Any:
        return lambda module, args, kwargs: _entered(probe, name, args, kwargs, is_array)

    def after(name: str) -> Any:
        return lambda module, args, kwargs, output: _left(probe, name, output, is_array)

    handles = []
    for path, module in model.named_modules():
        if path in names:
            handles.append(module.register_forward_pre_hook(before(names[path]), with_kwargs=True))
            handles.append(module.register_forward_hook(after(names[path]), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def nnx_probe(model: Any, probe: Probe) -> Iterator[None]:
    """The same for a flax.nnx module, all of whose submodules are tapped; inside a traced function the probe gets
    tracers, which that function must return.

    Classes are patched for the length of the block and instances told apart by identity, so that a model inside the
    same trace that was built elsewhere is left alone.
    """
    from flax import nnx

    names = {id(module): ".".join(map(str, path)) for path, module in nnx.iter_modules(model) if path}
    running: set[int] = set()
    originals: dict[type, Any] = {}

    def wrap(cls: type) -> None:
        call = originals[cls] = cls.__dict__["__call__"]

        def tapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            if id(self) not in names or id(self) in running:  # a subclass that calls its parent's is one module
                return call(self, *args, **kwargs)
            running.add(id(self))
            try:
                args, kwargs = _entered(probe, names[id(self)], args, kwargs, is_jax_array)
                return _left(probe, names[id(self)], call(self, *args, **kwargs), is_jax_array)
            finally:
                running.discard(id(self))

        cls.__call__ = tapped  # type: ignore[assignment]

    for cls in {_definer(type(module)) for _, module in nnx.iter_modules(model)} - {None}:
        wrap(cls)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for cls, call in originals.items():
            cls.__call__ = call


def linen_probe(probe: Probe) -> Any:
    """A context manager that taps every flax.linen module by its path."""
    from flax import linen

    def interceptor(next_function: Any, args: Any, kwargs: Any, context: Any) -> Any:
        path = ".".join(context.module.path)
        if context.method_name != "__call__" or not path:
            return next_function(*args, **kwargs)
        if isinstance(context.module, linen.Dropout):
            _refuse_dropout(context.module, path, args, kwargs)
        args, kwargs = _entered(probe, path, args, kwargs, is_jax_array)
        return _left(probe, path, next_function(*args, **kwargs), is_jax_array)

    return linen.intercept_methods(interceptor)


def is_jax_array(value: Any) -> bool:
    import jax
    import jax.numpy as jnp

    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)


def _refuse_dropout(module: Any, path: str, args: Any, kwargs: Any) -> None:
    """Raises UserError where a flax.linen dropout layer is on: no two frameworks draw the same masks."""
    given = args[1] if len(args) > 1 else kwargs.get("deterministic")
    if module.rate > 0 and not (module.deterministic if given is None else given):
        raise UserError(f"the candidate's {path} drops {module.rate:g}: call the model with its dropout switched off")


def _definer(cls: type) -> type | None:
    return next((base for base in cls.__mro__ if "__call__" in base.__dict__), None)


def _entered(
    probe: Probe, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], is_array: Callable[[Any], bool]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, with what the probe puts in."""
    keys = [*range(len(args)), *kwargs]
    values = [*args, *kwargs.values()]
    place = first_array(values, is_array)
    probe.running.append(name)
    if place is not None:
        values[place] = probe.enter(name, values[place])
    return tuple(values[: len(args)]), dict(zip(keys[len(args) :], values[len(args) :], strict=True))


def _left(probe: Probe, name: str, output: Any, is_array: Callable[[Any], bool]) -> Any:
    """The result of a call, with what the probe puts in."""
    if probe.running:
        probe.running.pop()
    if is_array(output):
        return probe.leave(name, output)
    if not isinstance(output, tuple | list) or (place := first_array(output, is_array)) is None:
        return output
    values = [*output]
    values[place] = probe.leave(name, values[place])
    return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)
