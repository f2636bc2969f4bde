"""TensorFlow's checkpoints (tensor bundles), read without TensorFlow: `NAME.index` and `NAME.data-00000-of-00001`.

The index is a table as LevelDB has it (https://github.com/google/leveldb/blob/main/doc/table_format.md): blocks of
sorted keys that share prefixes, an index of the blocks, and a footer. Its values are protocol buffers that say where
each tensor lies in the data files (`tensor_bundle.proto`). All numbers are checked before they are used, and all
checksums are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxdec.errors import UserError
from jaxdec.weights.formats.base import DTYPES, Slice, damaged, map_bytes
from jaxdec.weights.formats.crc32c import crc32c, masked

FOOTER, MAGIC = 48, 0xDB4775248B80FB57
LARGEST_INDEX = 100_000_000  # bytes
KINDS: Mapping[int, np.dtype] = {  # numbers of dtypes in types.proto
    1: DTYPES["float32"], 2: DTYPES["float64"], 19: DTYPES["float16"], 14: DTYPES["bfloat16"],
    3: np.dtype("<i4"), 9: np.dtype("<i8"),
}  # fmt: skip
Fields = dict[int, list[int | bytes]]  # of a protocol buffer, by number


class Broken(ValueError):
    """The index does not hold together; the text says why."""


@dataclass(frozen=True)
class BundleTensor:
    """A tensor of a bundle, compared with its checksum when it is first read."""

    place: Slice
    name: str
    checksum: int
    fit: set[str] = field(repr=False)  # tensors that were compared already

    @property
    def shape(self) -> tuple[int, ...]:
        return self.place.shape

    @property
    def dtype(self) -> str:
        return self.place.dtype

    def read(self) -> np.ndarray:
        array = self.place.read()
        if self.name not in self.fit:
            if masked(crc32c(array.reshape(-1).view(np.uint8))) != self.checksum:
                raise damaged(self.place.path, f"{self.name} does not fit its checksum")
            self.fit.add(self.name)
        return array


def open_bundle(index: Path) -> dict[str, BundleTensor]:
    """The tensors of a checkpoint whose `.index` is given, none of them read yet. UserError, in one line, where a file
    is damaged, cut off or missing, or a tensor is of a kind that is not supported."""
    size = map_bytes(index).size
    if size > LARGEST_INDEX:
        raise damaged(index, f"it has {size} bytes, and {LARGEST_INDEX} are the most")
    try:
        entries = dict(_entries(map_bytes(index).tobytes()))
        header = _fields(entries.pop("", b""))
        shards = _one(header, 1, default=0)
        if _one(header, 2, default=0) != 0:
            raise UserError(f"{index} was written on a big-endian machine: save it on another one")
        fit: set[str] = set()
        return {name: _tensor(index, name, _fields(value), shards, fit) for name, value in entries.items()}
    except Broken as error:
        raise damaged(index, str(error)) from None


def _tensor(index: Path, name: str, entry: Fields, shards: int, fit: set[str]) -> BundleTensor:
    if _one(entry, 1, default=0) not in KINDS or 7 in entry:
        what = "is cut into slices" if 7 in entry else f"is of TensorFlow's kind {_one(entry, 1, default=0)}"
        raise UserError(f"{index}: {name} {what}, which is not supported: numbers in one piece are read")
    kind = KINDS[_one(entry, 1)]
    shape = tuple(
        _one(_fields(_bytes(size)), 1, default=0) for size in _fields(_bytes(entry.get(2, [b""])[0])).get(2, [])
    )
    shard, offset, length = _one(entry, 3, default=0), _one(entry, 4, default=0), _one(entry, 5, default=0)
    if shard >= shards or max((*shape, offset, length)) >= 2**62 or math.prod(shape) * kind.itemsize != length:
        raise Broken(f"{name} of shape {shape} in {kind} is said to take {length} bytes of part {shard} of {shards}")
    path = index.with_suffix(f".data-{shard:05}-of-{shards:05}")
    map_bytes(path, offset, length)  # is it there?
    return BundleTensor(Slice(path, shape, kind, offset, length), name, _one(entry, 6, default=0), fit)


def _entries(table: bytes) -> Iterator[tuple[str, bytes]]:
    """Keys and values of a table. Raises Broken."""
    if len(table) < FOOTER or int.from_bytes(table[-8:], "little") != MAGIC:
        raise Broken("it does not end as an index of a checkpoint does")
    footer = table[-FOOTER:]
    _, place = _handle(footer, 0)
    index, _ = _handle(footer, place)
    before = b""
    for _, handle in _block(table, index):
        for key, value in _block(table, _handle(handle, 0)[0]):
            if key < before:
                raise Broken("its keys are not sorted")
            before = key
            try:
                yield key.decode(), value
            except UnicodeDecodeError:
                raise Broken(f"the name {key!r} is no text") from None


def _block(table: bytes, place: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block, which ends with the places where whole keys stand, and their number."""
    offset, size = place
    if offset + size + 5 > len(table) - FOOTER:
        raise Broken("a block lies outside of it")
    content, kind = table[offset : offset + size], table[offset + size]
    checksum = int.from_bytes(table[offset + size + 1 : offset + size + 5], "little")
    if masked(crc32c(np.frombuffer(table, np.uint8, size + 1, offset))) != checksum:
        raise Broken("a block does not fit its checksum")
    if kind != 0:
        raise Broken(f"a block is compressed (kind {kind}), which TensorFlow does not do")
    restarts = int.from_bytes(content[-4:], "little")
    end = size - 4 - 4 * restarts
    if size < 4 or end < 0:
        raise Broken("a block is shorter than it says")
    key, at = b"", 0
    while at < end:
        shared, at = _varint(content, at)
        rest, at = _varint(content, at)
        length, at = _varint(content, at)
        if shared > len(key) or at + rest + length > end:
            raise Broken("an entry reaches out of its block")
        key = key[:shared] + content[at : at + rest]
        yield key, content[at + rest : at + rest + length]
        at += rest + length


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where reading goes on."""
    offset, place = _varint(data, place)
    size, place = _varint(data, place)
    return (offset, size), place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where reading goes on."""
    value = 0
    for group in range(10):
        if place + group >= len(data):
            break
        byte = data[place + group]
        value |= (byte & 0x7F) << 7 * group
        if byte < 0x80:
            return value, place + group + 1
    raise Broken("a number does not end")


def _fields(message: bytes) -> Fields:
    """The fields of a protocol buffer: whole numbers, and bytes of what is nested."""
    found: Fields = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        value: int | bytes
        match tag & 7:
            case 0:
                value, place = _varint(message, place)
            case 1 | 5 as wire:
                size = 8 if wire == 1 else 4
                value, place = int.from_bytes(message[place : place + size], "little"), place + size
            case 2:
                size, place = _varint(message, place)
                value, place = message[place : place + size], place + size
            case other:
                raise Broken(f"a field has the unknown form {other}")
        if place > len(message):
            raise Broken("a field reaches out of its entry")
        found.setdefault(tag >> 3, []).append(value)
    return found


def _one(fields: Fields, number: int, default: int | None = None) -> int:
    value = fields.get(number, [default])[-1]
    if not isinstance(value, int):
        raise Broken(f"field {number} is no number")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise Broken("a shape is no shape")
    return value
