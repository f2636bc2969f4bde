"""Weights between `jaxdec` and its PyTorch twin `torchref`, both ways.

Module paths are equal by construction, so four rules on a name's last part are the whole bridge: `kernel` is torch's
`weight` transposed (ours is [in, out], torch's [out, in]); `embedding` and `scale` are `weight`; `bias` is `bias`.
Every other name and layout is kept. Each direction is given the receiver's names and shapes and fails by name on what
is missing, left over or of another shape. A square kernel that was not transposed has the right shape: only a
comparison of outputs finds that (`parity_tests`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jaxdec.errors import UserError

if TYPE_CHECKING:
    import torch

LEAVES = {"kernel": "weight", "embedding": "weight", "scale": "weight", "bias": "bias"}


class Shaped(Protocol):
    """An array of any framework, or a `jax.ShapeDtypeStruct`."""

    @property
    def shape(self) -> Any: ...


def torch_name(name: str) -> str:
    """The state_dict key of a jaxdec parameter: "blocks.0.mlp.up.kernel" -> "blocks.0.mlp.up.weight"."""
    path, _, leaf = name.rpartition(".")
    return f"{path}.{LEAVES.get(leaf, leaf)}" if path else name


def to_torchref(params: Mapping[str, Any], expected: Mapping[str, Shaped]) -> dict[str, torch.Tensor]:
    """A state_dict for `load_state_dict`, dtypes kept; `expected` is the receiving module's own state_dict.

    Raises UserError when names or shapes differ from `expected`, or two parameters would share one key.
    """
    keys = {name: torch_name(name) for name in params}
    if len(set(keys.values())) < len(keys):
        doubled = sorted(name for name, key in keys.items() if list(keys.values()).count(key) > 1)
        raise UserError(f"parameters {_listed(doubled)} map to the same torch name: a module holds one kind of weight")
    arrays = {keys[name]: _turned(name, np.asarray(value)) for name, value in params.items()}
    _check(arrays, expected, receiver="the torch model")
    return {key: _to_torch(array) for key, array in arrays.items()}


def from_torchref(state: Mapping[str, torch.Tensor], expected: Mapping[str, Shaped]) -> dict[str, np.ndarray]:
    """jaxdec's flat parameters as numpy arrays, dtypes kept; `expected` has the JAX model's names and shapes.

    Raises UserError when names or shapes differ from `expected`.
    """
    names = {torch_name(name): name for name in expected}
    arrays = {names.get(key, key): _turned(names.get(key, key), _to_numpy(value)) for key, value in state.items()}
    _check(arrays, expected, receiver="the JAX model")
    return arrays


def _turned(name: str, array: np.ndarray) -> np.ndarray:
    """Kernels change their layout; the rule is its own inverse."""
    return array.T if name.rpartition(".")[2] == "kernel" else array


def _to_torch(array: np.ndarray) -> torch.Tensor:
    import torch

    array = np.array(array, order="C")  # a copy: torch would otherwise share, and may train on, JAX's buffers
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


def _check(given: Mapping[str, Shaped], expected: Mapping[str, Shaped], receiver: str) -> None:
    if missing := [name for name in expected if name not in given]:
        raise UserError(f"{receiver} needs {_listed(missing)}, missing from the weights: are both of the same config?")
    if extra := [name for name in given if name not in expected]:
        raise UserError(f"{receiver} has no place for {_listed(extra)}: are both of the same config?")
    for name, array in given.items():
        if tuple(array.shape) != tuple(expected[name].shape):
            raise UserError(
                f"{name} has shape {tuple(array.shape)} where {receiver} has {tuple(expected[name].shape)}: "
                "are both of the same config?"
            )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
