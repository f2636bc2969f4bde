"""GGUF files: metadata by name, then tensors, each at a multiple of the alignment.

The format is https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3. Each number is checked before
it is used; tensors are views of a memory map and written one after the other.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.files import whole_file
from jaxdec.errors import UserError
from jaxdec.weights.formats.base import DTYPES, Slice, damaged, map_bytes

MAGIC, VERSION = b"GGUF", 3
ALIGNMENT = 32
KINDS: Mapping[int, np.dtype] = {
    0: DTYPES["float32"], 1: DTYPES["float16"], 30: DTYPES["bfloat16"], 28: DTYPES["float64"]
}  # fmt: skip
NUMBERS = {dtype.name: number for number, dtype in KINDS.items()}
QUANTISED = {
    2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K",
    14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
UINT32, FLOAT32, BOOL = 4, 6, 7
Metadata = dict[str, Any]


@dataclass(frozen=True)
class GGUFFile:
    metadata: Metadata
    tensors: dict[str, Slice]


def open_gguf(path: Path) -> GGUFFile:
    """Metadata and tensors, none of them read yet. UserError, in one line, where the file is damaged or cut off, and
    where a tensor is quantised."""
    reader = _Reader(path)
    try:
        magic, version = reader.bytes(4), reader.number(UINT32)
        if magic != MAGIC:
            raise damaged(path, "it does not start with GGUF")
        if version not in (2, VERSION):
            raise UserError(f"{path} is GGUF in version {version}; 2 and 3 are read: convert it again")
        tensors, count = reader.number(10), reader.number(10)
        metadata = dict(reader.pair() for _ in range(count))
        described = [reader.tensor() for _ in range(tensors)]
    except (struct.error, UnicodeDecodeError, OverflowError):
        raise damaged(path, "its header ends too early or does not hold together") from None
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or alignment < 1:
        raise damaged(path, f"its alignment is {alignment!r}")
    start = -(-reader.place // alignment) * alignment
    return GGUFFile(metadata, _placed(path, described, start, alignment))


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Writes metadata (whole numbers as uint32, lists of them as int32) and tensors, one at a time; the file appears
    whole or not at all. UserError where the disk is full or read-only."""
    header = MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(metadata))
    header += b"".join(_string(name) + _value(value) for name, value in metadata.items())
    offset = 0
    for name, tensor in tensors.items():
        dtype, shape = np.dtype(tensor.dtype), tuple(tensor.shape)
        dims = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        header += _string(name) + dims + struct.pack("<IQ", NUMBERS[dtype.name], offset)
        offset += _padded(math.prod(shape) * dtype.itemsize)
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            file.write(header.ljust(_padded(len(header)), b"\0"))
            for tensor in tensors.values():
                array = np.asarray(tensor.read(), np.dtype(tensor.dtype), order="C")
                file.write(array.reshape(-1).view(np.uint8).data)
                file.write(bytes(_padded(array.nbytes) - array.nbytes))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): free space there or choose another folder"
        ) from None


@dataclass(frozen=True)
class _Described:
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


class _Reader:
    """Reads on from `place`. Raises struct.error where the file ends."""

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, 0
        self.data = map_bytes(path)

    def bytes(self, count: int) -> bytes:
        if count > len(self.data) - self.place:
            raise struct.error
        self.place += count
        return self.data[self.place - count : self.place].tobytes()

    def number(self, kind: int) -> Any:
        form = f"<{FORMATS[kind]}"
        (value,) = struct.unpack(form, self.bytes(struct.calcsize(form)))
        return value

    def string(self) -> str:
        return self.bytes(self.number(10)).decode("utf-8")

    def pair(self) -> tuple[str, Any]:
        name, kind = self.string(), self.number(UINT32)
        return name, self.value(name, kind)

    def value(self, name: str, kind: int, depth: int = 0) -> Any:
        if kind == STRING:
            return self.string()
        if kind in FORMATS:
            return self.number(kind)
        if kind != ARRAY or depth > 2:
            raise damaged(self.path, f"its value {name} is of the unknown kind {kind}")
        inner, count = self.number(UINT32), self.number(10)
        if inner in FORMATS:
            form = f"<{FORMATS[inner]}"
            return np.frombuffer(self.bytes(count * struct.calcsize(form)), form).tolist()
        if count > len(self.data):  # each takes a byte at least
            raise struct.error
        return [self.value(name, inner, depth + 1) for _ in range(count)]

    def tensor(self) -> _Described:
        name, dims = self.string(), self.number(UINT32)
        if dims > 8:
            raise damaged(self.path, f"{name} has {dims} axes")
        shape = tuple(self.number(10) for _ in range(dims))
        return _Described(name, shape[::-1], self.number(UINT32), self.number(10))


def _placed(path: Path, described: list[_Described], start: int, alignment: int) -> dict[str, Slice]:
    """The tensors in the file; each starts at a multiple of the alignment, after the one before it has ended."""
    size = map_bytes(path).size
    found: dict[str, Slice] = {}
    end = start
    for each in sorted(described, key=lambda each: each.offset):
        if each.kind not in KINDS:
            kind = QUANTISED.get(each.kind, f"the unknown kind {each.kind}")
            raise UserError(f"{path}: {each.name} is quantised ({kind}): convert the model to F32, F16 or BF16 first")
        length = math.prod(each.shape) * KINDS[each.kind].itemsize
        place = start + each.offset
        if each.name in found or each.offset % alignment or place < end or place + length > size:
            raise damaged(
                path, f"{each.name} {each.shape} lies at byte {place} of {size}, after one that ends at {end}"
            )
        found[each.name] = Slice(path, each.shape, KINDS[each.kind], place, length)
        end = place + length
    if size - end >= alignment:
        raise damaged(path, f"{size - end} bytes at its end belong to no tensor")
    return {each.name: found[each.name] for each in described}


def _padded(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _value(value: Any) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", BOOL, value)
        case int():
            return struct.pack("<II", UINT32, value)
        case float():
            return struct.pack("<If", FLOAT32, value)
        case str():
            return struct.pack("<I", STRING) + _string(value)
        case [str(), *_]:
            return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_string, value))
        case [float(), *_]:
            return struct.pack(f"<IIQ{len(value)}f", ARRAY, FLOAT32, len(value), *value)
        case list():
            return struct.pack(f"<IIQ{len(value)}i", ARRAY, 5, len(value), *value)
        case _:
            raise TypeError(f"{value!r} is no value of GGUF")
