"""Files of a header and tensors one after the other, in an order that is agreed: those of llm.c and llama2.c."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.files import whole_file
from jaxdec.errors import UserError
from jaxdec.weights.formats.base import Slice, damaged

Layout = Iterable[tuple[str, tuple[int, ...]]]  # names and shapes in the file's order


def read_consecutive(path: Path, start: int, layout: Layout, kind: np.dtype) -> dict[str, Slice]:
    """The tensors of a file, from byte `start` on. UserError unless they end where the file ends."""
    size = path.stat().st_size
    tensors: dict[str, Slice] = {}
    for name, shape in layout:
        length = math.prod(shape) * kind.itemsize
        if start + length > size:
            raise damaged(path, f"it ends at byte {size}, before the end of {name} {shape}")
        tensors[name] = Slice(path, shape, kind, start, length)
        start += length
    if start != size:
        raise damaged(path, f"its header speaks of {start} bytes, and it has {size}")
    return tensors


def write_consecutive(path: Path, header: bytes, layout: Layout, tensors: Mapping[str, Any], kind: np.dtype) -> None:
    """Writes tensors in the layout's order, one at a time; rows that the layout has more than a tensor are zero. The
    file appears whole or not at all. UserError where the disk is full or read-only."""
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            file.write(header)
            for name, shape in layout:
                array = np.asarray(tensors[name].read(), kind, order="C")
                assert array.shape[1:] == shape[1:], f"{name} is {array.shape}, and {shape} was agreed"
                file.write(array.reshape(-1).view(np.uint8).data)
                file.write(bytes((math.prod(shape) - array.size) * kind.itemsize))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): free space there or choose another folder"
        ) from None


def stored_kind(name: str, params: Mapping[str, Any], kinds: Mapping[str, np.dtype]) -> np.dtype:
    """The first of a format's dtypes that holds every parameter without rounding. UserError where none does."""
    given = {np.dtype(value.dtype) for value in params.values()}
    for kind in kinds.values():
        if all(kind == each or (kind == np.float32 and each.itemsize == 2) for each in given):
            return kind
    listed = ", ".join(sorted(each.name for each in given))
    raise UserError(f"{name} stores {' or '.join(kinds)}, and the parameters are in {listed}: convert them first")
