"""What a weight rule may do to an array: move elements or pick some of them, and add a constant.

Since every op except `plus` only moves and picks, one definition serves four purposes: to carry weights over; to carry
the ids of elements, which shows whether each arrives exactly once; to write a candidate's array back to where its
elements came from (`place`), through views of the receiving array, without a table of indices; and to tell the shape of
the array that it came from (`shape_before`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ArrayShape = tuple[int, ...]


class OpError(ValueError):
    """An op does not fit its array; the text says why."""


@dataclass(frozen=True)
class Op(ABC):
    @abstractmethod
    def __call__(self, array: np.ndarray) -> np.ndarray:
        """The array after the op: a view of it where numpy can."""

    @abstractmethod
    def before(self, shape: ArrayShape) -> ArrayShape:
        """The shape of the smallest array of which the op makes one of `shape`. Raises OpError where none follows."""

    def put_back(self, part: np.ndarray, whole: np.ndarray) -> None:
        """Writes `part`, which the op made of `whole` as a copy, to where it came from: asked only of ops that copy."""
        raise AssertionError(f"{type(self).__name__} makes a view of its array: there is nothing to put back")


@dataclass(frozen=True)
class Transpose(Op):
    """Swaps the last two axes: torch's [out, in] and Flax's [in, out]."""

    def __call__(self, array: np.ndarray) -> np.ndarray:
        if array.ndim < 2:
            raise OpError(f"T needs two axes, and the array has shape {array.shape}")
        return array.swapaxes(-1, -2)

    def before(self, shape: ArrayShape) -> ArrayShape:
        if len(shape) < 2:
            raise OpError(f"T makes no array of shape {shape}: it needs two axes")
        return (*shape[:-2], shape[-1], shape[-2])


@dataclass(frozen=True)
class Part(Op):
    """One of `count` equal parts along `axis`."""

    index: int
    count: int
    axis: int

    def __post_init__(self) -> None:
        _check_index(self.index, self.count)

    def before(self, shape: ArrayShape) -> ArrayShape:
        axis = range(len(shape))[self.axis]
        return (*shape[:axis], shape[axis] * self.count, *shape[axis + 1 :])


@dataclass(frozen=True)
class Chunk(Part):
    """Piece `index` of `count` equal ones along `axis`: one of a fused projection's parts."""

    def __call__(self, array: np.ndarray) -> np.ndarray:
        size = _divided(array, self.axis, self.count)
        return _sliced(array, self.axis, slice(self.index * size, (self.index + 1) * size))


@dataclass(frozen=True)
class Every(Part):
    """Elements index, index + count, ... along `axis`: one of several parts that are interleaved."""

    def __call__(self, array: np.ndarray) -> np.ndarray:
        _divided(array, self.axis, self.count)
        return _sliced(array, self.axis, slice(self.index, None, self.count))


@dataclass(frozen=True)
class PerHead(Op):
    """Piece `index` of `count` of each head, or as many pieces as `pieces` says from there on, joined: the first axis
    holds head after head, each with all its pieces."""

    index: int
    count: int
    heads: int
    pieces: int = 1

    def __post_init__(self) -> None:
        _check_index(self.index, self.count)
        _check_index(self.index + self.pieces - 1, self.count)
        _check_heads(self.heads)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return self._pieces(array).reshape(-1, *array.shape[1:])

    def before(self, shape: ArrayShape) -> ArrayShape:
        return (shape[0] * self.count // self.pieces, *shape[1:])

    def put_back(self, part: np.ndarray, whole: np.ndarray) -> None:
        pieces = self._pieces(whole)
        pieces[...] = part.reshape(pieces.shape)

    def _pieces(self, array: np.ndarray) -> np.ndarray:
        """A view [heads, pieces, channels of a piece, ...]: to split an axis never copies."""
        size = _divided(array, 0, self.heads * self.count)
        split = array.reshape(self.heads, self.count, size, *array.shape[1:])
        return split[:, self.index : self.index + self.pieces]


@dataclass(frozen=True)
class Rows(Op):
    """Rows start ... stop - 1 of the first axis; `stop` None is the end."""

    start: int
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop < self.start):
            raise OpError("rows count from 0, and the second number is not below the first")

    def __call__(self, array: np.ndarray) -> np.ndarray:
        length = array.shape[0] if array.ndim else 0
        if max(self.start, self.stop or 0) > length:
            raise OpError(f"there are {length} rows in an array of shape {array.shape}")
        return array[self.start : self.stop]

    def before(self, shape: ArrayShape) -> ArrayShape:
        return (self.start + shape[0], *shape[1:])


@dataclass(frozen=True)
class Reshape(Op):
    shape: ArrayShape

    def __call__(self, array: np.ndarray) -> np.ndarray:
        try:
            return array.reshape(self.shape)
        except ValueError:
            raise OpError(f"an array of shape {array.shape} cannot take the shape {self.shape}") from None

    def before(self, shape: ArrayShape) -> ArrayShape:
        raise OpError("what shape an array had before reshape(...) does not follow from its shape after it")

    def put_back(self, part: np.ndarray, whole: np.ndarray) -> None:
        whole[...] = part.reshape(whole.shape)


@dataclass(frozen=True)
class Halves(Op):
    """Rotary pairs (0, 1), (2, 3), ... of each head's channels, on the first axis, to pairs (0, C/2), (1, C/2 + 1), ...

    Where only the first `channels` of a head turn, these are C; the others stay where they are.
    Both forms rotate the same pairs (RoFormer, arXiv:2104.09864, equation 34, is interleaved); only places differ.
    """

    heads: int
    channels: int | None = None

    def __post_init__(self) -> None:
        _check_heads(self.heads)
        if self.channels is not None and (self.channels < 2 or self.channels % 2):
            raise OpError(f"channels turn in pairs, and {self.channels} is no even number from 2")

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return self._moved(array, lambda turned: (turned // 2, 2))

    def before(self, shape: ArrayShape) -> ArrayShape:
        return shape

    def put_back(self, part: np.ndarray, whole: np.ndarray) -> None:
        whole[...] = self._moved(part, lambda turned: (2, turned // 2))

    def _moved(self, array: np.ndarray, split: Callable[[int], tuple[int, int]]) -> np.ndarray:
        """`split` says how the channels that turn are laid out in rows and columns, which change places."""
        size = _divided(array, 0, self.heads)
        turned = size if self.channels is None else self.channels
        if turned > size or turned % 2:
            raise OpError(f"a head of {size} channels has no {turned} that turn in pairs")
        heads = array.reshape(self.heads, size, *array.shape[1:])
        first = heads[:, :turned].reshape(self.heads, *split(turned), *array.shape[1:]).swapaxes(1, 2)
        first = first.reshape(self.heads, turned, *array.shape[1:])
        return np.concatenate([first, heads[:, turned:]], axis=1).reshape(array.shape)


@dataclass(frozen=True)
class Plus(Op):
    """Adds a constant, in the array's own precision: a norm stored as its scale's distance from one."""

    constant: float

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return array + np.asarray(self.constant, array.dtype)

    def before(self, shape: ArrayShape) -> ArrayShape:
        return shape


Ops = Sequence[Op]


def carry(ops: Ops, array: np.ndarray, constants: bool = True) -> np.ndarray:
    """`array` after the ops, left to right; without `constants`, `plus` passes it on as it is (ids, gradients)."""
    for op in ops:
        if constants or not isinstance(op, Plus):
            array = op(array)
    return array


def place(ops: Ops, value: np.ndarray, whole: np.ndarray) -> None:
    """Writes `value` into `whole` so that `carry(ops, whole)` gives `value` (up to the rounding of `plus`).

    Elements of `whole` that the ops do not pick stay as they are. `value` must have the shape of `carry(ops, whole)`.
    """
    for op in ops:
        if isinstance(op, Plus):
            value = value - np.asarray(op.constant, value.dtype)
    _place([op for op in ops if not isinstance(op, Plus)], value, whole)


def _place(ops: Ops, value: np.ndarray, whole: np.ndarray) -> None:
    if value.size == 0:
        return
    if not ops:
        whole[...] = value
        return
    part = ops[0](whole)
    _place(ops[1:], value, part)
    if not np.may_share_memory(part, whole):  # numpy had to copy: what was written there is carried back
        ops[0].put_back(part, whole)


def shape_after(ops: Ops, shape: ArrayShape) -> ArrayShape:
    """The shape that `carry` would give, without any memory for elements. Raises OpError as the ops do."""
    return carry(ops, np.broadcast_to(np.int8(0), shape), constants=False).shape


def shape_before(ops: Ops, shape: ArrayShape) -> ArrayShape:
    """The shape of the smallest array of which `carry` makes one of `shape`. Raises OpError where none follows."""
    for op in reversed(ops):
        shape = op.before(shape)
    return shape


def transposes(ops: Ops) -> bool:
    """Whether the last two axes end up swapped."""
    return sum(isinstance(op, Transpose) for op in ops) % 2 == 1


def _check_index(index: int, count: int) -> None:
    if count < 1 or not 0 <= index < count:
        raise OpError(f"piece {index} of {count} does not exist: pieces count from 0")


def _check_heads(heads: int) -> None:
    if heads < 1:
        raise OpError("there is at least one head")


def _divided(array: np.ndarray, axis: int, count: int) -> int:
    if not -array.ndim <= axis < array.ndim:
        raise OpError(f"an array of shape {array.shape} has no axis {axis}")
    if array.shape[axis] % count:
        raise OpError(f"axis {axis} of an array of shape {array.shape} does not divide by {count}")
    return array.shape[axis] // count


def _sliced(array: np.ndarray, axis: int, piece: slice) -> np.ndarray:
    index: list[Any] = [slice(None)] * array.ndim
    index[axis] = piece
    return array[tuple(index)]
