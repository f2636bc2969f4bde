"""The file of a split's token ids: a safetensors file, which says what it holds and whether it is whole.

Its header fills the first HEADER bytes, so that tokens can be written before their number is known. Then come the
tensors: `tokens` uint16 or uint32 [tokens]; `padding`, up to seven bytes; `document_starts` int64 [documents], the
index of each document's first token; `checksums` uint8 [blocks, 32], the sha256 of each BLOCK bytes between the header
and the checksums. The metadata have the sha256 of the checksums and of the header, so that every byte is covered.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxdec.data.files import sha256
from jaxdec.errors import UserError

HEADER = 4096
BLOCK = 64 * 2**20
START_CHECK = 256 * 2**20  # bytes whose checksums a start can afford; `jaxdec prepare --check` reads all
FORMAT = "jaxdec tokens 2"
DTYPES = {"U16": np.dtype("<u2"), "U32": np.dtype("<u4")}
_OWN_HASH = "header_sha256"


@dataclass(frozen=True)
class TokenFile:
    """`tokens`, `document_starts`: mapped from disk. `about`: the metadata, all strings."""

    path: Path
    tokens: np.memmap
    document_starts: np.ndarray
    about: Mapping[str, str]


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest that has room for the vocabulary."""
    return DTYPES["U16"] if vocab_size <= 2**16 else DTYPES["U32"]


def finish(path: Path, dtype: np.dtype, starts: Path, about: Mapping[str, str]) -> None:
    """Completes a file that has its tokens from HEADER on: the other tensors, then the header with `about`.

    `starts`: the file of the int64 starts of documents.
    """
    size = path.stat().st_size - HEADER
    padding = -size % 8
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(bytes(padding))
        documents = _append(starts, file) // 8
        file.flush()
        table = b"".join(
            bytes.fromhex(checksum) for checksum in _checksums(file, HEADER + size + padding + 8 * documents)
        )
        file.seek(0, os.SEEK_END)
        file.write(table)
        shapes = {
            "tokens": (_name(dtype), [size // dtype.itemsize]),
            "padding": ("U8", [padding]),
            "document_starts": ("I64", [documents]),
            "checksums": ("U8", [len(table) // 32, 32]),
        }
        metadata = {**about, "format": FORMAT, "block_bytes": str(BLOCK), "checksums_sha256": sha256(table)}
        file.seek(0)
        file.write(_header(shapes, metadata))
        file.flush()
        os.fsync(file.fileno())


def open_tokens(path: Path, *, whole: bool = False) -> TokenFile:
    """The mapped file, once its length, its header and its first blocks (with `whole`: all) fit their checksums.

    Raises UserError that names the file and what is wrong with it.
    """
    if not path.is_file():
        raise UserError(f"the shard {path} is missing")
    size = path.stat().st_size
    with path.open("rb") as file:
        header = _read_header(path, file.read(HEADER))
        places = {name: entry for name, entry in header.items() if name != "__metadata__"}
        about = header["__metadata__"]
        end = HEADER + max(entry["data_offsets"][1] for entry in places.values())
        if size != end:
            raise damaged(path, f"it has {size:,} bytes instead of {end:,}")
        first, _ = places["checksums"]["data_offsets"]
        file.seek(HEADER + first)
        table = file.read()
        if sha256(table) != about["checksums_sha256"]:
            raise damaged(path, "its checksums do not fit their own")
        limit = None if whole else max(1, START_CHECK // BLOCK)
        for number, found in enumerate(_checksums(file, HEADER + first, limit)):
            if found != table[32 * number : 32 * number + 32].hex():
                place = HEADER + number * BLOCK
                raise damaged(path, f"the block from byte {place:,} on does not fit its checksum")
    tokens, starts = (_mapped(path, places[name]) for name in ("tokens", "document_starts"))
    return TokenFile(path, tokens, starts, about)


def damaged(path: Path, reason: str) -> UserError:
    return UserError(f"the shard {path} is damaged: {reason}")


def _header(shapes: Mapping[str, tuple[str, list[int]]], metadata: dict[str, str]) -> bytes:
    """HEADER bytes: the length of the JSON, then the JSON filled up with spaces, as the format allows."""
    entries: dict[str, Any] = {}
    offset = 0
    for name, (dtype, shape) in shapes.items():
        size = int(np.prod(shape)) * {"U8": 1, "U16": 2, "U32": 4, "I64": 8}[dtype]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps({"__metadata__": {**metadata, _OWN_HASH: ""}, **entries})
    text = json.dumps({"__metadata__": {**metadata, _OWN_HASH: sha256(text.encode())}, **entries})
    content = text.encode().ljust(HEADER - 8)
    assert len(content) == HEADER - 8, "the metadata must be short"
    return len(content).to_bytes(8, "little") + content


def _read_header(path: Path, content: bytes) -> dict[str, Any]:
    if len(content) < HEADER:
        raise damaged(path, f"it has {len(content):,} bytes, fewer than its header")
    try:
        text = content[8:].rstrip(b" ")
        header = json.loads(text)
        metadata = header["__metadata__"]
        unsigned = json.dumps({**header, "__metadata__": {**metadata, _OWN_HASH: ""}})
        fits = int.from_bytes(content[:8], "little") == HEADER - 8 and sha256(unsigned.encode()) == metadata[_OWN_HASH]
    except (ValueError, KeyError, TypeError):
        raise damaged(path, "it has no header of token shards") from None
    if not fits or metadata["format"] != FORMAT or metadata["block_bytes"] != str(BLOCK):
        raise damaged(path, "its header does not fit its checksum")
    return header


def _mapped(path: Path, entry: Mapping[str, Any]) -> np.memmap:
    dtype = {**DTYPES, "I64": np.dtype("<i8")}[entry["dtype"]]
    if entry["shape"] == [0]:
        return np.zeros(0, dtype)  # type: ignore[return-value]  # nothing can be mapped
    return np.memmap(path, dtype, "r", HEADER + entry["data_offsets"][0], tuple(entry["shape"]))


def _checksums(file: BinaryIO, end: int, limit: int | None = None) -> Iterator[str]:
    """sha256 of each block of the file from HEADER to `end`; of the first `limit` blocks."""
    starts = range(HEADER, end, BLOCK)
    for start in starts[:limit]:
        file.seek(start)
        checksum, left = hashlib.sha256(), min(BLOCK, end - start)
        while left and (content := file.read(min(2**20, left))):
            checksum.update(content)
            left -= len(content)
        yield checksum.hexdigest()


def _append(source: Path, file: BinaryIO) -> int:
    """Copies a file to the end of another; the number of bytes."""
    count = 0
    with source.open("rb") as content:
        while part := content.read(2**20):
            count += file.write(part)
    return count


def _name(dtype: np.dtype) -> str:
    return next(name for name, known in DTYPES.items() if known == dtype)
