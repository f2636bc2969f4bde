"""The pickle inside a torch file, read as data: nothing that it names is imported or called.

`pickle` runs what a file asks for. This reads the same instructions (`pickletools` takes them apart) and acts on those
that make plain values and tensors; a file that asks for anything else is refused by the name of what it asks for.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

PLAIN = (str, int, float, bool, type(None))  # what may be a key
STORAGES: Mapping[str, str] = {  # torch's classes of storages, and their numbers
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip


class Forbidden(ValueError):
    """The pickle asks for something that is not a plain value or a tensor; the text names it."""


class Broken(ValueError):
    """The instructions make no sense."""


@dataclass(frozen=True)
class Storage:
    """A named run of numbers in the file."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class StridedTensor:
    """Elements of a storage: as `numpy.lib.stride_tricks.as_strided`, counted in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """What a pickle calls by module and name: a token here."""

    text: str


def read_pickle(stream: IO[bytes]) -> Any:
    """The value that the next pickle of a stream makes: dicts, lists, tuples, plain values and `StridedTensor`.

    Raises Forbidden for a pickle that asks for anything else, Broken for one that is damaged.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except Forbidden:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, OverflowError) as error:
        raise Broken(" ".join(str(error).split())[:100] or type(error).__name__) from None
    raise Broken("it has no end")


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # stacks below the marks
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
            case "MARK":
                self.below.append(stack)
                self.stack = []
            case "TUPLE":
                items = self.marked()
                self.stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self.take(int(name[-1]))))
            case "APPEND":
                item = stack.pop()
                _list(stack[-1]).append(item)
            case "APPENDS":
                items = self.marked()
                _list(self.stack[-1]).extend(items)
            case "SETITEM":
                pair = self.take(2)
                _set(stack[-1], pair)
            case "SETITEMS":
                items = self.marked()
                _set(self.stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(_known(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                stack.append(_known(".".join(map(str, self.take(2)))))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                called, arguments = self.take(2)
                stack.append(_rebuilt(called, arguments))
            case "BUILD":  # the attributes of a state_dict, which tell versions of modules
                stack.pop()
                _dict(stack[-1])
            case _:
                raise Forbidden(f"the instruction {name}")

    def take(self, count: int) -> list[Any]:
        """The topmost values, taken off the stack."""
        if len(self.stack) < count:
            raise Broken("it takes more values than there are")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def marked(self) -> list[Any]:
        """The values since the last mark, taken off the stack."""
        values, self.stack = self.stack, self.below.pop()
        return values


def _known(name: str) -> _Name:
    storage = name.startswith("torch.") and name.removeprefix("torch.") in STORAGES
    if not storage and name not in _REBUILDS:
        raise Forbidden(name)
    return _Name(name)


def _rebuilt(called: Any, arguments: Any) -> Any:
    if not isinstance(called, _Name) or called.text not in _REBUILDS or not isinstance(arguments, tuple):
        raise Broken("it calls what cannot be called")
    return _REBUILDS[called.text](*arguments)


def _ordered(items: Any = ()) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _set(made, [part for pair in items for part in pair])
    return made


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StridedTensor:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or not all(type(number) is int and number >= 0 for number in numbers):
        raise Broken("a tensor is no storage, offset, shape and strides")
    if len(shape) != len(strides):
        raise Broken("a tensor has a shape and strides of different lengths")
    return StridedTensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: Any, *_: Any) -> StridedTensor:
    if not isinstance(tensor, StridedTensor):
        raise Broken("a parameter is no tensor")
    return tensor


_REBUILDS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": tuple,
}


def _storage(described: Any) -> Storage:
    """torch describes a storage as ("storage", class, key, device, count), older versions with one value more."""
    word, kind, key, _, count = described[:5]
    view = described[5] if len(described) > 5 else None
    if word != "storage" or not isinstance(kind, _Name) or not isinstance(key, str) or view is not None:
        raise Broken("a storage is not described as torch does it")
    if type(count) is not int or count < 0:
        raise Broken(f"a storage has {count} elements")
    return Storage(key, STORAGES[kind.text.removeprefix("torch.")], count)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Broken("it appends to what is no list")
    return value


def _dict(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise Broken("it sets items of what is no dict")
    return value


def _set(receiver: Any, items: list[Any]) -> None:
    made = _dict(receiver)
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, PLAIN):
            raise Broken("a key is no plain value")
        made[key] = value
