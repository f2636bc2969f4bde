"""Safetensors files: 8 bytes with the header's length, a JSON header, then the bytes of all tensors without a gap.

The format is https://huggingface.co/docs/safetensors. Every number of the header is checked before it is used, as the
`safetensors` library does, and every message names the file and the tensor. Reading maps the file into memory, writing
makes one tensor after the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxdec.config.files import whole_file
from jaxdec.errors import UserError
from jaxdec.weights.formats.base import DTYPES, Slice, damaged, map_bytes

LONGEST_HEADER = 100_000_000  # bytes, as in the library
METADATA = "__metadata__"
KEYS = ("dtype", "shape", "data_offsets")  # of an entry
KINDS: Mapping[str, np.dtype] = {  # the file's names of dtypes; bytes are little-endian
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": DTYPES["bfloat16"],
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype(bool),
}  # fmt: skip
NAMES = {dtype.name: name for name, dtype in KINDS.items()}


class Writable(Protocol):
    """A tensor to write, made when it is read."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def read(self) -> np.ndarray: ...


@dataclass(frozen=True)
class SafetensorsFile:
    tensors: dict[str, Slice]
    metadata: dict[str, str]


def open_safetensors(path: Path) -> SafetensorsFile:
    """The tensors of a file, none of them read yet. UserError, in one line, for a file that is damaged or cut off, or
    whose header lies: about its length, about offsets that overlap, leave gaps or do not fit a shape, about dtypes."""
    size = map_bytes(path).size
    if size < 8:
        raise damaged(path, f"it has {size} bytes, and a safetensors file starts with the 8 of its header's length")
    length = int.from_bytes(map_bytes(path, 0, 8).tobytes(), "little")
    if length > LONGEST_HEADER:
        raise damaged(path, f"its header says that it is {length} bytes long, and {LONGEST_HEADER} are the most")
    if 8 + length > size:
        raise damaged(path, f"its header says that it is {length} bytes long, and the whole file has {size}")
    header = _header(path, map_bytes(path, 8, length).tobytes())
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise damaged(path, f"{METADATA} of its header is no map of text to text")
    start = 8 + length
    tensors = {name: _slice(path, name, entry, start, size - start) for name, entry in header.items()}
    _check_gaps(path, tensors, start, size)
    return SafetensorsFile(tensors, metadata)


def write_safetensors(path: Path, tensors: Mapping[str, Writable], metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors in the order given, one at a time; the file appears whole or not at all. UserError where the disk
    is full or read-only, and for a dtype that the format does not have."""
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in tensors.items():
        dtype = np.dtype(tensor.dtype)
        if dtype.name not in NAMES:
            raise UserError(f"{path}: {name} has dtype {dtype}, which safetensors does not have: {', '.join(NAMES)}")
        start, end = end, end + math.prod(tensor.shape) * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype.name], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that tensors start at a multiple of 8 bytes
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name, tensor in tensors.items():
                array = np.asarray(tensor.read(), KINDS[header[name]["dtype"]], order="C")
                assert array.shape == tuple(tensor.shape), f"{name} is {array.shape}, announced as {tensor.shape}"
                file.write(array.reshape(-1).view(np.uint8).data)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): free space there or choose another folder"
        ) from None


def _header(path: Path, text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise damaged(path, f"its header names {max(names, key=names.count)} twice")
        return found

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise damaged(path, "its header is no JSON") from None
    if not isinstance(header, dict):
        raise damaged(path, "its header is no JSON object")
    return header


def _slice(path: Path, name: str, entry: Any, data: int, available: int) -> Slice:
    """The tensor that an entry of the header describes, in a file with `available` bytes of tensors from `data` on."""
    kind, shape, offsets = (entry.get(key) if isinstance(entry, dict) else None for key in KEYS)
    numbers = [*shape, *offsets] if isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2 else []
    if not isinstance(kind, str) or not numbers or any(type(number) is not int or number < 0 for number in numbers):
        raise damaged(path, f"the entry of {name} in its header is not a dtype, a shape and two offsets")
    *_, start, end = numbers
    if kind not in KINDS:
        raise UserError(f"{path}: {name} has dtype {kind}, which is not supported: {', '.join(KINDS)}")
    if start > end or end > available:
        raise damaged(path, f"{name} lies at {start} to {end} of {available} bytes")
    if math.prod(numbers[:-2]) * KINDS[kind].itemsize != end - start:
        raise damaged(path, f"{name} of shape {tuple(numbers[:-2])} in {kind} does not take {end - start} bytes")
    return Slice(path, tuple(numbers[:-2]), KINDS[kind], data + start, end - start)


def _check_gaps(path: Path, tensors: Mapping[str, Slice], start: int, size: int) -> None:
    """Each tensor starts where the one before it ends, and the last ends with the file."""
    before, end = "the header", start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].length)):
        if tensor.start != end:
            fault = "overlaps with" if tensor.start < end else "leaves a gap after"
            raise damaged(path, f"{name} {fault} {before}")
        before, end = name, tensor.start + tensor.length
    if end != size:
        raise damaged(path, f"{size - end} bytes after {before} belong to no tensor")
