"""Weights between `jaxdec` and its PyTorch twin `torchref`, both ways.

Module paths are equal by construction, so four rules on a name's last part are enough: `kernel` is torch's
`weight` transposed (ours is [in, out], torch's [out, in]); `embedding` and `scale` are `weight`; every other name and
layout is kept. Each direction is given the receiver's names and shapes and fails by name on what is missing, left over
or of another shape. A square kernel that was not transposed has the right shape: only a comparison of outputs finds
that (`parity_tests`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jaxdec.errors import UserError
from jaxdec.weights.entries import Entry
from jaxdec.weights.ops import OpError, shape_after
from jaxdec.weights.rules import WeightRules

if TYPE_CHECKING:
    import torch

RULES = """
{*path}.kernel <-? {*path}.weight : T
{*path}.embedding <-? {*path}.weight
{*path}.scale <-? {*path}.weight
{*name} <-? {*name}
"""


class Shaped(Protocol):
    """An array of any framework, or a `jax.ShapeDtypeStruct`."""

    @property
    def shape(self) -> Any: ...


@functools.cache
def rules() -> WeightRules:
    return WeightRules.parse(RULES)


def torch_name(name: str) -> str:
    """The state_dict key of a jaxdec parameter: "blocks.0.mlp.up.kernel" -> "blocks.0.mlp.up.weight"."""
    return next(key for _, key in rules().reference_names(name))


def to_torchref(params: Mapping[str, Any], expected: Mapping[str, Shaped]) -> dict[str, torch.Tensor]:
    """A state_dict for `load_state_dict`, dtypes kept; `expected` is the receiving module's own state_dict.

    Raises UserError when names or shapes differ from `expected`, or two parameters would share one key.
    """
    arrays = {name: np.asarray(value) for name, value in params.items()}
    plan = rules().plan(arrays, expected)
    names: dict[str, list[str]] = {}
    for entry in plan.entries:
        names.setdefault(entry.sources[0], []).append(entry.name)
    if doubled := sorted(name for sharing in names.values() if len(sharing) > 1 for name in sharing):
        raise UserError(f"parameters {_listed(doubled)} map to the same torch name: a module holds one kind of weight")
    _check_names(
        missing=[key for key in expected if key not in names],
        extra=[torch_name(problem.name) for problem in plan.missing],
        receiver="the torch model",
    )
    # each rule undoes itself, so it also turns our shape into torch's
    shapes = [(entry.sources[0], _shape_by(entry, entry.shape)) for entry in plan.entries]
    _check_shapes([(key, shape, tuple(expected[key].shape)) for key, shape in shapes], "the torch model")
    return {key: _to_torch(array) for key, array in plan.to_reference(arrays).items()}


def from_torchref(state: Mapping[str, torch.Tensor], expected: Mapping[str, Shaped]) -> dict[str, np.ndarray]:
    """jaxdec's flat parameters as numpy arrays, dtypes kept; `expected` has the JAX model's names and shapes.

    Raises UserError when names or shapes differ from `expected`.
    """
    plan = rules().plan(expected, state)
    names = {entry.sources[0] for entry in plan.entries}
    _check_names(
        missing=[problem.name for problem in plan.missing],
        extra=[key for key in state if key not in names],
        receiver="the JAX model",
    )
    made = [(entry, _shape_by(entry, tuple(state[entry.sources[0]].shape))) for entry in plan.entries]
    _check_shapes([(entry.name, shape, entry.shape) for entry, shape in made], "the JAX model")
    return plan.to_candidate({key: _to_numpy(value) for key, value in state.items()})


def _to_torch(array: np.ndarray) -> torch.Tensor:
    import torch

    if array.dtype.name == "bfloat16":  # numpy's bfloat16 is an extension type that torch does not read
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    import ml_dtypes
    import torch

    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().copy().view(ml_dtypes.bfloat16)
    return tensor.numpy().copy()


def _shape_by(entry: Entry, shape: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return shape_after(entry.rule.ops, shape)
    except OpError:  # a vector where there should be a matrix: its own shape says that best
        return shape


def _check_names(missing: list[str], extra: list[str], receiver: str) -> None:
    details = [f"missing: {name}" for name in missing] + [f"left over: {name}" for name in extra]
    if missing:
        line = f"{receiver} needs {_listed(missing)}, missing from the weights: are both of the same config?"
        raise UserError(line, details)
    if extra:
        raise UserError(f"{receiver} has no place for {_listed(extra)}: are both of the same config?", details)


def _check_shapes(shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]], receiver: str) -> None:
    """(name, the shape that is given, the one that is expected)."""
    wrong = [
        f"{name} has shape {given} where {receiver} has {expected}"
        for name, given, expected in shapes
        if given != expected
    ]
    if wrong:
        more = f"; {len(wrong) - 1} more do not fit" if len(wrong) > 1 else ""
        raise UserError(f"{wrong[0]}{more}: are both of the same config?", wrong)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
