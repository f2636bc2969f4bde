"""Files that `torch.load(..., weights_only=True)` reads, written without torch, one tensor after the other."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.files import whole_file
from jaxdec.errors import UserError
from jaxdec.weights.formats.safetensors import Writable
from jaxdec.weights.formats.torch_pickle import STORAGES

CLASSES = {dtype: name for name, dtype in STORAGES.items()}
ALIGNMENT = 64  # bytes: where a storage starts in the file, so that it can be mapped
LARGE = 2**31  # bytes from which a member needs the long form of zip's sizes


def write_torch_file(path: Path, content: Mapping[str, Any]) -> None:
    """Writes nested dicts and lists of plain values and tensors; the file appears whole or not at all.

    The same tensor under two names is stored once, as a tied head is. UserError where the disk is full or read-only,
    and for a dtype that torch's files do not have.
    """
    pickle = _Pickle(path)
    pickle.add(content)
    try:
        with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            _member(archive, "archive/data.pkl", b"\x80\x02" + bytes(pickle.code) + b".")
            _member(archive, "archive/byteorder", b"little")
            for key, tensor in enumerate(pickle.tensors):
                array = np.asarray(tensor.read(), np.dtype(tensor.dtype), order="C")
                assert array.shape == tuple(tensor.shape), f"{array.shape} was announced as {tensor.shape}"
                _member(archive, f"archive/data/{key}", array.reshape(-1).view(np.uint8).data)
            _member(archive, "archive/version", b"3\n")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): free space there or choose another folder"
        ) from None


def _member(archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    """A member that is not compressed and starts at a multiple of ALIGNMENT: its extra field fills what is missing."""
    large = len(content) >= LARGE
    assert archive.fp is not None
    header = archive.fp.tell() + 30 + len(name) + 4 + (20 if large else 0)
    padding = -header % ALIGNMENT
    info = zipfile.ZipInfo(name)
    info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    with archive.open(info, "w", force_zip64=large) as member:
        member.write(content)


class _Pickle:
    """The instructions that make a value, protocol 2; `tensors` in the order of the storages that they name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.code = bytearray()
        self.tensors: list[Writable] = []
        self.keys: dict[int, int] = {}

    def add(self, value: Any) -> None:
        match value:
            case None | True | False:
                self.code += {None: b"N", True: b"\x88", False: b"\x89"}[value]
            case int():
                length = value.bit_length() // 8 + 1
                self.code += b"\x8a" + bytes([length]) + value.to_bytes(length, "little", signed=True)
            case float():
                self.code += b"G" + struct.pack(">d", value)
            case str():
                text = value.encode()
                self.code += b"X" + struct.pack("<I", len(text)) + text
            case Mapping():
                self._many(b"}(", (part for pair in value.items() for part in pair), b"u")
            case list():
                self._many(b"](", value, b"e")
            case tuple():
                self._many(b"(", value, b"t")
            case _:
                self._tensor(value)

    def _many(self, start: bytes, values: Any, end: bytes) -> None:
        self.code += start
        for value in values:
            self.add(value)
        self.code += end

    def _tensor(self, tensor: Writable) -> None:
        dtype = np.dtype(tensor.dtype).name
        if dtype not in CLASSES:
            raise UserError(f"{self.path}: torch's files have no tensors of dtype {dtype}: {', '.join(CLASSES)}")
        key = self.keys.setdefault(id(tensor), len(self.tensors))
        if key == len(self.tensors):
            self.tensors.append(tensor)
        shape = tuple(int(n) for n in tensor.shape)
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        self.code += b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
        self.code += b"ctorch\n" + CLASSES[dtype].encode() + b"\n"
        for part in (str(key), "cpu", math.prod(shape)):
            self.add(part)
        self.code += b"tQ"  # the storage
        for part in (0, shape, strides, False):
            self.add(part)
        self.code += b"ccollections\nOrderedDict\n)RtR"
