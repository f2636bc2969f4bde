"""Files of `torch.save`, read without torch: tensors are views of a memory map, and no code of a file ever runs.

Since torch 1.6 such a file is a zip archive, not compressed, with the pickle `data.pkl` and one member for each
storage. The form before is a row of pickles, and then the storages one after the other.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.errors import UserError
from jaxdec.weights.formats.base import DTYPES, damaged, map_bytes
from jaxdec.weights.formats.torch_pickle import Broken, Forbidden, Storage, StridedTensor, read_pickle

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
ZIP = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\n"
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
LONGEST_PICKLE = 100_000_000  # bytes; that of a model of 100 layers has about 10^5


@dataclass(frozen=True)
class TorchTensor:
    """A tensor of a file, whose storage starts at byte `start`."""

    path: Path
    layout: StridedTensor
    start: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    @property
    def dtype(self) -> str:
        return self.layout.storage.dtype

    def read(self) -> np.ndarray:
        """A view of a memory map."""
        kind, layout = _dtype(self.layout.storage), self.layout
        flat = map_bytes(self.path, self.start, layout.storage.count * kind.itemsize).view(kind)
        strides = [stride * kind.itemsize for stride in layout.strides]
        return np.lib.stride_tricks.as_strided(flat[layout.offset :], layout.shape, strides, writeable=False)

    def same_place(self, other: TorchTensor) -> bool:
        """Whether both are the same elements of the same storage, as a tied head is."""
        return (self.path, self.layout, self.start) == (other.path, other.layout, other.start)


def is_torch_file(path: Path) -> bool:
    """By its first bytes: a zip archive with `data.pkl`, or a pickle as torch wrote them before."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except OSError:
        return False
    pickled = first == LEGACY_START if path.suffix == ".bin" else first[:1] == b"\x80"
    return path.suffix in SUFFIXES and (first == ZIP or pickled)


def read_torch_file(path: Path) -> Any:
    """What `torch.load` would give, with `TorchTensor` for tensors: dicts, lists, tuples, plain values.

    UserError, in one line, where the file is damaged, and where its pickle asks for anything else: such a file can run
    any code when torch loads it.
    """
    try:
        first = map_bytes(path, 0, min(4, map_bytes(path).size)).tobytes()
        return _read_zip(path) if first == ZIP else _read_legacy(path)
    except Forbidden as error:
        raise UserError(
            f"{path} is a pickle that asks for {error}. Loading such a file can run any code, so only tensors and "
            f"plain values are read: save them alone, with torch.save(model.state_dict(), ...)"
        ) from None
    except Broken as error:
        raise damaged(path, f"its pickle does not hold together ({error})") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, RuntimeError, KeyError) as error:
        raise damaged(path, f"it is no zip archive as torch writes it ({error})") from None


def open_torch(path: Path) -> dict[str, TorchTensor]:
    """The tensors of a file that holds a state_dict alone, as `pytorch_model.bin` does."""
    return state_dict(read_torch_file(path), path)


def state_dict(value: Any, path: Path, prefix: str = "") -> dict[str, TorchTensor]:
    """`value` as names and tensors, with `prefix` taken off names that all have it. UserError where it is no such dict.

    Compiled models have the prefix "_orig_mod.".
    """
    if not isinstance(value, Mapping) or not value or not all(isinstance(name, str) for name in value):
        raise UserError(f"{path} has no state_dict: a dict of names and tensors was looked for")
    if wrong := [name for name, tensor in value.items() if not isinstance(tensor, TorchTensor)]:
        raise UserError(f"{path}: {wrong[0]} of its state_dict is no tensor")
    if prefix and all(name.startswith(prefix) for name in value):
        return {name.removeprefix(prefix): tensor for name, tensor in value.items()}
    return dict(value)


def _dtype(storage: Storage) -> np.dtype:
    return DTYPES.get(storage.dtype) or np.dtype(storage.dtype)


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
    pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl" and name.count("/") == 1]
    if len(pickles) != 1:
        raise damaged(path, f"it has {len(pickles)} members data.pkl, and a file of torch.save has one")
    root = pickles[0].removesuffix("data.pkl")
    order = members.get(root + "byteorder")
    if order is not None and _member(path, order).tobytes() != b"little":
        raise UserError(f"{path} was written on a big-endian machine: save it on another one")
    content = _member(path, members[pickles[0]])
    if content.size > LONGEST_PICKLE:
        raise damaged(path, f"its pickle has {content.size} bytes, and {LONGEST_PICKLE} are the most")

    def start(storage: Storage) -> int:
        member = members.get(f"{root}data/{storage.key}")
        if member is None:
            raise damaged(path, f"the storage {storage.key} is not there")
        if member.file_size != storage.count * _dtype(storage).itemsize:
            raise damaged(path, f"the storage {storage.key} has {member.file_size} bytes for {storage.count} elements")
        return _member_start(path, member)

    return _placed(read_pickle(io.BytesIO(content.tobytes())), path, start)


def _member_start(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member start, which lie in the file as they are."""
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise damaged(path, f"{member.filename} is compressed, which torch never does")
    local = map_bytes(path, member.header_offset, 30).tobytes()
    if local[:4] != ZIP:
        raise damaged(path, f"{member.filename} is not where the archive says")
    return member.header_offset + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")


def _member(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    return map_bytes(path, _member_start(path, member), member.file_size)


def _read_legacy(path: Path) -> Any:
    with path.open("rb") as file:
        if read_pickle(file) != LEGACY_MAGIC or read_pickle(file) != LEGACY_PROTOCOL:
            raise damaged(path, "it is no file of torch.save")
        system = read_pickle(file)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise UserError(f"{path} was written on a big-endian machine: save it on another one")
        value, keys = read_pickle(file), read_pickle(file)
        position = file.tell()
    storages = _storages(value)
    if not isinstance(keys, list) or set(keys) != set(storages):
        raise damaged(path, "its list of storages is not that of its tensors")
    starts: dict[str, int] = {}
    for key in keys:
        count = int.from_bytes(map_bytes(path, position, 8).tobytes(), "little")
        if count != storages[key].count:
            raise damaged(path, f"the storage {key} has {count} elements, and {storages[key].count} were announced")
        starts[key] = position + 8
        position += 8 + count * _dtype(storages[key]).itemsize
    return _placed(value, path, lambda storage: starts[storage.key])


def _storages(value: Any) -> dict[str, Storage]:
    found: dict[str, Storage] = {}
    _each_tensor(value, lambda tensor: found.setdefault(tensor.storage.key, tensor.storage))
    return found


def _placed(value: Any, path: Path, start: Callable[[Storage], int]) -> Any:
    """The value with every tensor placed in the file. UserError for elements outside of a storage or of the file."""

    def place(tensor: StridedTensor) -> TorchTensor:
        storage = tensor.storage
        last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
        count = math.prod(tensor.shape)
        if count > storage.count or (count and last >= storage.count):
            raise damaged(path, f"a tensor of shape {tensor.shape} does not fit its {storage.count} elements")
        begin = start(storage)
        map_bytes(path, begin, storage.count * _dtype(storage).itemsize)  # is it all there?
        return TorchTensor(path, tensor, begin)

    return _each_tensor(value, place)


def _each_tensor(value: Any, change: Callable[[StridedTensor], Any]) -> Any:
    """The value with `change` made to its tensors; what is nested deeper than files of torch are is refused."""
    made: dict[int, Any] = {}  # by the id of what stands in several places

    def walk(value: Any, depth: int) -> Any:
        if depth > 20:
            raise Broken("it is nested too deep")
        match value:
            case StridedTensor():
                return change(value)
            case dict():
                walked: Any = {key: again(each, depth) for key, each in value.items()}
            case list():
                walked = [again(each, depth) for each in value]
            case tuple():
                walked = tuple(again(each, depth) for each in value)
            case _:
                walked = value
        return walked

    def again(value: Any, depth: int) -> Any:
        if id(value) not in made:
            made[id(value)] = walk(value, depth + 1)
        return made[id(value)]

    return walk(value, 0)
