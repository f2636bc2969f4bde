"""A corpus as token ids on disk, made once: `train.npy` and `validation.npy`, memory-mapped, beside a JSON file.

The folder's name ends in a hash of all that determines it, so a folder is never out of date. It is written beside its
place and moved there whole; of two processes that do so at once, one wins and both use its folder.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.config.run import AnyTokenizer, DataConfig
from jaxdec.data.corpora.registry import Corpus, corpus_of
from jaxdec.data.files import file_sha256, new_folder, read_bytes, sha256
from jaxdec.data.folders import cache_folder
from jaxdec.data.tokenizers.registry import (
    CharTokenizer,
    Tokenizer,
    UnseenCharacter,
    fixed_tokenizer,
    place_of,
    tokenizer_from_dict,
    train_tokenizer,
)
from jaxdec.errors import UserError

SIDECAR = "shards.json"
FORMAT = 1  # of the sidecar; part of the key
FULL_CHECK = 256 * 2**20  # bytes: a larger shard is checked by its length alone, or each start would read it all
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Dataset:
    """Token ids, uint16 or uint32 [tokens], mapped from disk. `hash`: equal hashes, equal ids in both splits.

    `conditional_entropy` is the corpus's (nats a character), so it bounds the loss only where tokens are characters:
    None for all other tokenizers. `train_starts`, `validation_starts`: int64, where the documents of a split begin.
    """

    train: np.memmap
    validation: np.memmap
    tokenizer: Tokenizer
    corpus: str
    conditional_entropy: Callable[[int], float] | None
    hash: str
    answers: Callable[[str], np.ndarray] | None = None  # of the corpus
    train_starts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1, np.int64))
    validation_starts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1, np.int64))


def prepare(data: DataConfig, *, from_file: Path | None = None, tokenizer: Tokenizer | None = None) -> Dataset:
    """The shards of `data`, made where they are missing.

    Without `tokenizer` that of `data.tokenizer` is read, or trained on the training split; a run that is resumed or
    evaluated gives its own. Raises UserError for a wrong corpus, a tokenizer that cannot be had, a character that it
    lacks, a damaged shard and a cache folder that cannot be written.
    """
    corpus = corpus_of(data, from_file)
    tokenizer = tokenizer or fixed_tokenizer(data.tokenizer)
    folder = _folder(corpus, f"{_key(data.tokenizer)} of the training split", data.validation_fraction)
    found = _open(folder, corpus, data) if folder.is_dir() else None
    if tokenizer is not None and (found is None or found.tokenizer.hash != tokenizer.hash):
        folder = _folder(corpus, tokenizer.hash, data.validation_fraction)
        found = _open(folder, corpus, data) if folder.is_dir() else None
    if found is None:
        _write(folder, corpus, data, tokenizer)
        found = _open(folder, corpus, data)
    return found


def _key(settings: AnyTokenizer) -> str:
    """The kind, and what else determines a tokenizer that is trained: {"vocab_size": 10000}."""
    values = dataclasses.asdict(settings)
    return f"{settings.kind} {json.dumps(values, sort_keys=True)}" if values else settings.kind


def _folder(corpus: Corpus, tokenizer: str, validation_fraction: float) -> Path:
    key = sha256(json.dumps([FORMAT, corpus.hash, tokenizer, validation_fraction]).encode())[:16]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(corpus.name).name).strip(".-")[:40] or "text"
    return cache_folder() / "shards" / f"{readable}-{key}"


def _write(folder: Path, corpus: Corpus, data: DataConfig, tokenizer: Tokenizer | None) -> None:
    text = corpus.text
    cut = int(len(text) * (1 - data.validation_fraction))
    if not 0 < cut < len(text):
        raise UserError(
            f"the corpus {corpus.name} is too short: {len(text)} characters cannot be split into training and "
            f"validation (data.validation_fraction {data.validation_fraction}). Give a longer text"
        )
    if tokenizer is None:
        tokenizer = train_tokenizer(data.tokenizer, text[:cut])
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32
    shards = {}
    for split, start, end in (("train", 0, cut), ("validation", cut, len(text))):
        shards[split] = _encode(tokenizer, corpus, split, start, end).astype(dtype)
        if not len(shards[split]):
            raise UserError(f"the {split} split of the corpus {corpus.name} has no token: give a text with words in it")
    with new_folder(folder, "the cache folder") as temporary:
        about: dict[str, Any] = {
            "format": FORMAT,
            "corpus": corpus.name,
            "corpus_hash": corpus.hash,
            "validation_fraction": data.validation_fraction,
            "tokenizer": tokenizer.to_dict(),
            "shards": {},
        }
        for split, ids in shards.items():
            path = temporary / f"{split}.npy"
            np.save(path, ids, allow_pickle=False)
            about["shards"][split] = {
                "dtype": ids.dtype.name,
                "count": len(ids),
                "bytes": path.stat().st_size,
                "sha256": file_sha256(path),
            }
        (temporary / SIDECAR).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _encode(tokenizer: Tokenizer, corpus: Corpus, split: str, start: int, end: int) -> np.ndarray:
    try:
        return tokenizer.encode(corpus.text[start:end])
    except UnseenCharacter as error:
        offset = start + error.offset
        raise UserError(
            f"the {split} split of the corpus {corpus.name} has the character {corpus.text[offset]!r} "
            f"({place_of(corpus.text, offset)}), which the text that its tokenizer was trained on never has: remove "
            f"or replace it, or move the split with --data.validation-fraction"
        ) from None


def _open(folder: Path, corpus: Corpus, data: DataConfig) -> Dataset:
    """The dataset in a folder that is there, after the checks that a start can afford."""
    try:
        about = json.loads(read_bytes(folder / SIDECAR, "the shards' description"))
        tokenizer = tokenizer_from_dict(about["tokenizer"], str(folder / SIDECAR))
        train, validation = (_shard(folder / f"{split}.npy", about["shards"][split]) for split in SPLITS)
    except (UserError, ValueError, KeyError, TypeError, OSError) as error:
        reason = error if isinstance(error, UserError) else f"{folder / SIDECAR} cannot be read"
        raise UserError(f"{reason}. Delete the folder {folder} and run `jaxdec prepare`: it is made again") from None
    fraction = data.validation_fraction
    identity = sha256(json.dumps([FORMAT, corpus.hash, tokenizer.hash, fraction]).encode())
    entropy = corpus.conditional_entropy if tokenizer.kind == CharTokenizer.kind else None
    return Dataset(train, validation, tokenizer, corpus.name, entropy, identity, corpus.answers)


def _shard(path: Path, about: dict[str, Any]) -> np.memmap:
    """The mapped shard, once its length (and up to FULL_CHECK bytes its checksum) fits its description."""
    if not path.is_file():
        raise UserError(f"the shard {path} is missing")
    size = path.stat().st_size
    if size != about["bytes"]:
        raise UserError(f"the shard {path} is damaged: it has {size:,} bytes instead of {about['bytes']:,}")
    if size <= FULL_CHECK and file_sha256(path) != about["sha256"]:
        raise UserError(f"the shard {path} is damaged: it does not fit its checksum")
    try:
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        raise UserError(f"the shard {path} is damaged: it is no numpy array") from None
    if shard.dtype.name != about["dtype"] or shard.shape != (about["count"],):
        raise UserError(f"the shard {path} is damaged: it holds {shard.dtype} {shard.shape}")
    return shard
