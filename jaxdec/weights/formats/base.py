"""What every format of weights gives: a config of ours, tensors that are read when they are asked for, a rule table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.data.tokenizers.base import Tokenizer
from jaxdec.errors import UserError
from jaxdec.weights.stream import LazyArray

DTYPES: Mapping[str, np.dtype] = {  # the numbers that weights are stored in
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


class StoredTensor(Protocol):
    """A tensor in a file. Nothing is read until `read`, which gives a view of a memory map where that is possible.

    `dtype` is numpy's name: "float32", "bfloat16".
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    def read(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Lazy:
    """A stored tensor whose array `make` gives."""

    shape: tuple[int, ...]
    dtype: str
    make: Callable[[], np.ndarray] = field(repr=False)

    def read(self) -> np.ndarray:
        return self.make()


@dataclass(frozen=True)
class StoredModel:
    """A model as another program wrote it. `rules` carries `tensors` over to our parameters (`weights/rules.py`), and
    `finish` makes of them what the model has (`peft`: merges an adapter); the config's `vocab_size` is known;
    `tokenizer` is None where the files have none."""

    format: str
    place: Path
    config: DecoderConfig
    rules: str
    tensors: Mapping[str, StoredTensor]
    tokenizer: Tokenizer | None = None
    finish: Callable[[dict[str, LazyArray]], dict[str, LazyArray]] = dict


Write = Callable[[Path, Mapping[str, Any], DecoderConfig, Tokenizer | None], None]


@dataclass(frozen=True)
class Format:
    """One way in which weights are stored.

    `recognise` tells whether a file or folder is of this format: quickly, without an error for what is not. `open`
    raises UserError for what is damaged or not supported. `write(place, params, config, tokenizer)` writes our flat
    parameters, tensor by tensor: to the file `place` where the format has `suffixes`, with what belongs to it beside
    it, otherwise into the folder `place`, which is there and empty. It raises UserError, naming the setting, where the
    format has no such part. Call it through `registry.write_model`, which leaves nothing half-written.
    """

    name: str
    looked_for: str  # what `recognise` looks for, for a message: "a folder with config.json"
    recognise: Callable[[Path], bool]
    open: Callable[[Path], StoredModel]
    write: Write | None = None
    suffixes: tuple[str, ...] = ()  # of its files; none: the format is a folder
    file: str = ""  # what the file is called in a folder that is made for it


def damaged(path: Path, why: str) -> UserError:
    """The error for a file that does not hold together."""
    return UserError(f"{path} is damaged: {why}. Fetch or write it again")


def map_bytes(path: Path, offset: int = 0, length: int | None = None) -> np.ndarray:
    """uint8 [length]: a read-only memory map of the file, of which nothing is read yet. UserError where it cannot be
    opened or is shorter than that."""
    try:
        size = path.stat().st_size
        length = size - offset if length is None else length
        if offset < 0 or length < 0 or offset + length > size:
            raise damaged(path, f"it ends at byte {size}, where {length} bytes from {offset} on should be")
        if length == 0:
            return np.empty(0, np.uint8)
        return np.memmap(path, np.uint8, "r", offset=offset, shape=(length,))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from None


@dataclass(frozen=True)
class Slice:
    """A tensor of a file: `length` bytes from byte `start` on."""

    path: Path
    shape: tuple[int, ...]
    kind: np.dtype
    start: int
    length: int

    @property
    def dtype(self) -> str:
        return self.kind.name

    def read(self) -> np.ndarray:
        """A view of a memory map."""
        return map_bytes(self.path, self.start, self.length).view(self.kind).reshape(self.shape)
