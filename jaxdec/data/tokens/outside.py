"""Token ids as other programs wrote them: nanoGPT's bare `train.bin` and `val.bin`, llm.c's `.bin` with a header.

Both are uint16 and are mapped as they are. Their ids are those of GPT-2's tokenizer, or of the characters in a
`meta.json` beside them. A file is read once: its checksum, its largest id and the starts of its documents are kept in
the cache folder, for a file of the same path, size and time of change.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from jaxdec.config.run import DataConfig
from jaxdec.config.tokenizers import BPE, GPT2, Characters, Words
from jaxdec.data.files import new_folder, sha256
from jaxdec.data.folders import cache_folder
from jaxdec.data.tokenizers.nanogpt import characters_in
from jaxdec.data.tokenizers.registry import Tokenizer, train_tokenizer
from jaxdec.data.tokens.joined import Joined
from jaxdec.data.tokens.make import Progress, Report
from jaxdec.errors import UserError

MAGIC, VERSION, HEADER = 20240520, 1, 1024  # of llm.c's files: 256 int32, of which the third is the number of tokens
DTYPE = np.dtype("<u2")
BLOCK = 2**22  # tokens that are looked at together
SETTLED = 10  # seconds since the last change; before that a file could change again and keep its time


@dataclass(frozen=True)
class Outside:
    """The two splits in a folder; `hash` is of the content of its files and of the tokenizer."""

    train: np.ndarray
    validation: np.ndarray
    train_starts: np.ndarray
    validation_starts: np.ndarray
    tokenizer: Tokenizer
    hash: str


@dataclass(frozen=True)
class Scan:
    """What one file holds. `ends`: where <|endoftext|> stands."""

    sha256: str
    largest: int
    largest_at: int
    ends: np.ndarray


def files_of_splits(folder: Path) -> tuple[list[Path], list[Path]] | None:
    """The files for training and for validation, in the order of their names; None for a folder that has none such."""
    if not folder.is_dir():
        return None
    for patterns in (("train.bin", "val.bin"), ("*_train*.bin", "*_val*.bin")):
        train, validation = (sorted(folder.glob(pattern)) for pattern in patterns)
        if train and validation:
            return train, validation
        if train or validation:
            which = patterns[0] if validation else patterns[1]
            raise UserError(f"the folder {folder} has token ids of one split only: {which} is missing in it")
    return None


def open_outside(
    data: DataConfig, folder: Path, tokenizer: Tokenizer | None, report: Report, *, check: bool = False
) -> Outside | None:
    """The token ids in a folder; None where it holds none. `tokenizer`: that of the run. `check`: files are read anew.

    Raises UserError for files that are damaged or of another version, for ids beyond the vocabulary, and for a run with
    another tokenizer.
    """
    files = files_of_splits(folder)
    if files is None:
        return None
    for name in ("text_field", "limit_documents", "limit_files"):
        if getattr(data, name) is not None:
            raise UserError(f"data.{name} means nothing to the token ids in {folder}: leave it out")
    own = _tokenizer_of(data, folder)
    if tokenizer is not None and tokenizer.hash != own.hash:
        if not _same_tokens(tokenizer, own):
            theirs, ours = (f"{each.kind} (hash {each.hash[:12]})" for each in (own, tokenizer))
            raise UserError(
                f"the token ids in {folder} are of the tokenizer {theirs}, the run's tokenizer is {ours}: give "
                f"the corpus as text, or a run with that tokenizer"
            )
        own = tokenizer
    identity, splits, starts = [own.hash], [], []
    for paths in files:
        parts = [_mapped(path) for path in paths]
        scans = [_scan(path, ids, own, report, check) for path, ids in zip(paths, parts, strict=True)]
        identity += [scan.sha256 for scan in scans]
        splits.append(parts[0] if len(parts) == 1 else cast(np.ndarray, Joined(parts)))
        starts.append(_starts(parts, scans))
    return Outside(splits[0], splits[1], starts[0], starts[1], own, sha256(json.dumps(["outside", *identity]).encode()))


def _mapped(path: Path) -> np.ndarray:
    """The ids of a file, once its header and length fit."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = np.frombuffer(file.read(12), "<i4") if size >= HEADER else np.zeros(3, "<i4")
    if header[0] != MAGIC:
        if size % DTYPE.itemsize or not size:
            raise UserError(f"{path} holds no uint16 token ids: it has {size:,} bytes. Make it again")
        return np.memmap(path, DTYPE, "r")
    if header[1] != VERSION:
        raise UserError(f"{path} is of version {header[1]} of llm.c's token files: only version {VERSION} is read")
    if size != HEADER + int(header[2]) * DTYPE.itemsize or size == HEADER:
        raise UserError(
            f"{path} is damaged: its header says {header[2]:,} tokens, its length {(size - HEADER) / 2:,g}. Make it "
            "again"
        )
    return np.memmap(path, DTYPE, "r", HEADER)


def _tokenizer_of(data: DataConfig, folder: Path) -> Tokenizer:
    characters = characters_in(folder)
    match data.tokenizer:
        case Words() | BPE():
            raise UserError(
                f"the folder {folder} holds token ids, for which no tokenizer is trained: leave out --data.tokenizer"
            )
        case Characters():  # the default
            return characters or train_tokenizer(GPT2(), ())
        case given if characters is not None:
            raise UserError(f"the token ids in {folder} are of the characters in meta.json, not of {given.kind}")
        case given:
            return train_tokenizer(given, ())


def _same_tokens(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether the ids mean the same, as those of GPT-2's own tokenizer and of a Hugging Face file of it."""
    return one.vocab_size == other.vocab_size and all(
        one.decode([number]) == other.decode([number]) for number in range(one.vocab_size)
    )


def _scan(path: Path, ids: np.ndarray, tokenizer: Tokenizer, report: Report, check: bool) -> Scan:
    """The scan of a file, kept or new, once all its ids are in the vocabulary."""
    end = -1 if tokenizer.end_of_text is None else tokenizer.end_of_text
    stat = path.stat()
    key = sha256(json.dumps([str(path.resolve()), stat.st_size, stat.st_mtime_ns, end]).encode())[:16]
    kept = cache_folder() / "outside" / f"{path.stem}-{key}"
    scan = None if check else _kept(kept)
    if scan is None:
        scan = _read(path, ids, end, report)
        if time.time() - stat.st_mtime > SETTLED:
            _keep(kept, scan)
    if scan.largest >= tokenizer.vocab_size:
        raise UserError(
            f"{path} has the id {scan.largest:,} (token {scan.largest_at:,} of {len(ids):,}), beyond the vocabulary of "
            f"{tokenizer.vocab_size:,} of the tokenizer {tokenizer.kind}: it is of another one, or damaged"
        )
    return scan


def _read(path: Path, ids: np.ndarray, end: int, report: Report) -> Scan:
    digest, ends, largest, largest_at = hashlib.sha256(), [np.zeros(0, np.int64)], -1, 0
    for start, block in _blocks(ids):
        digest.update(block.tobytes())
        if (most := int(block.max())) > largest:
            largest, largest_at = most, start + int(block.argmax())
        ends.append(start + np.flatnonzero(block == end))
        report(Progress(f"reading {path.name}", tokens=start + len(block), share=(start + len(block)) / len(ids)))
    return Scan(digest.hexdigest(), largest, largest_at, np.concatenate(ends))


def _blocks(ids: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(ids), BLOCK):
        yield start, np.asarray(ids[start : start + BLOCK])


def _kept(folder: Path) -> Scan | None:
    try:
        about = json.loads((folder / "scan.json").read_bytes())
        ends = np.load(folder / "ends.npy", mmap_mode="r", allow_pickle=False)
        return Scan(str(about["sha256"]), int(about["largest"]), int(about["largest_at"]), ends)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(folder: Path, scan: Scan) -> None:
    """What cannot be kept is read again the next time."""
    shutil.rmtree(folder, ignore_errors=True)
    about = {"sha256": scan.sha256, "largest": scan.largest, "largest_at": scan.largest_at}
    with suppress(UserError), new_folder(folder, "the cache folder") as temporary:
        np.save(temporary / "ends.npy", scan.ends, allow_pickle=False)
        (temporary / "scan.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


def _starts(parts: Sequence[np.ndarray], scans: Sequence[Scan]) -> np.ndarray:
    """Where documents begin, int64: at each <|endoftext|>, whether the program writes it before documents or behind
    them, but at none that ends the file; and at the first token of each file."""
    found, before = [], 0
    for ids, scan in zip(parts, scans, strict=True):
        inside = scan.ends[(scan.ends > 0) & (scan.ends < len(ids) - 1)]
        found += [np.array([before]), before + inside]
        before += len(ids)
    return np.concatenate(found).astype(np.int64)
