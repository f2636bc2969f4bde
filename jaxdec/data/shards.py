"""A corpus as token ids on disk, made once: `train.safetensors` and `validation.safetensors`, memory-mapped, beside the
tokenizer.

The folder's name ends in a hash of all that determines it, so a folder is never out of date. It is made in a hidden
folder beside its place and moved there whole. See docs/data.md.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxdec.config.run import DataConfig
from jaxdec.config.tokenizers import AnyTokenizer
from jaxdec.data.corpora.registry import CORPORA, Corpus, corpus_of
from jaxdec.data.files import sha256
from jaxdec.data.folders import cache_folder
from jaxdec.data.tokenizers.registry import CharTokenizer, Tokenizer, fixed_tokenizer, load_tokenizer
from jaxdec.data.tokens.file import TokenFile, damaged, open_tokens
from jaxdec.data.tokens.make import TOKENIZER, Progress, Report, make_shards
from jaxdec.data.tokens.outside import open_outside
from jaxdec.data.tokens.split import SPLITS
from jaxdec.errors import UserError

__all__ = ["Dataset", "Progress", "Report", "prepare"]

FILES = 2  # of the layout of the folder; part of its key
IDS = 1  # of how a text becomes ids; part of `Dataset.hash`


@dataclass(frozen=True)
class Dataset:
    """Token ids, uint16 or uint32 [tokens], mapped from disk. `hash`: equal hashes, equal ids in both splits.

    `conditional_entropy` is the corpus's (nats a character), so it bounds the loss only where tokens are characters:
    None for all other tokenizers. `train_starts`, `validation_starts`: int64, where the documents of a split begin.
    `folder`: where the files lie.
    """

    train: np.ndarray
    validation: np.ndarray
    tokenizer: Tokenizer
    corpus: str
    conditional_entropy: Callable[[int], float] | None
    hash: str
    answers: Callable[[str], np.ndarray] | None = None  # of the corpus
    train_starts: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    validation_starts: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    folder: Path | None = None


def prepare(
    data: DataConfig,
    *,
    from_file: Path | None = None,
    tokenizer: Tokenizer | None = None,
    report: Report = lambda progress: None,
    check: bool = False,
    keep_files: bool = False,
) -> Dataset:
    """The shards of `data`, made where they are missing.

    Without `tokenizer` that of `data.tokenizer` is read, or trained on the training split; a run that is resumed or
    evaluated gives its own. `check`: every byte is checked, not what a start can afford alone. `keep_files`: those of a
    corpus that is downloaded file by file. Raises UserError for a wrong corpus, a tokenizer that cannot be had, a
    character that it lacks, a damaged shard and a cache folder that cannot be written.
    """
    if from_file is None and (given := _outside(data, tokenizer, report, check)) is not None:
        return given
    corpus = corpus_of(data, from_file, keep_files=keep_files)
    tokenizer = tokenizer or fixed_tokenizer(data.tokenizer)
    folder = _folder(corpus, f"{_key(data.tokenizer)} of the training split", data.validation_fraction)
    found = _open(folder, corpus, data, check) if folder.is_dir() else None
    if tokenizer is not None and (found is None or found.tokenizer.hash != tokenizer.hash):
        folder = _folder(corpus, tokenizer.hash, data.validation_fraction)
        found = _open(folder, corpus, data, check) if folder.is_dir() else None
    if found is None:
        make_shards(folder, corpus, data, tokenizer, report)
        found = _open(folder, corpus, data, check)
    return found


def _outside(data: DataConfig, tokenizer: Tokenizer | None, report: Report, check: bool) -> Dataset | None:
    """The token ids that another program wrote to the folder `data.corpus`; None where it is no such folder."""
    folder = Path(data.corpus).expanduser()
    is_named = data.corpus.partition(":")[0] in CORPORA
    found = None if is_named else open_outside(data, folder, tokenizer, report, check=check)
    if found is None:
        return None
    starts = found.train_starts, found.validation_starts
    return Dataset(
        found.train, found.validation, found.tokenizer, str(folder), None, found.hash, None, *starts, folder=folder
    )


def _key(settings: AnyTokenizer) -> str:
    """The kind, and what else determines a tokenizer that is trained: {"vocab_size": 10000}."""
    values = dataclasses.asdict(settings)
    return f"{settings.kind} {json.dumps(values, sort_keys=True)}" if values else settings.kind


def _folder(corpus: Corpus, tokenizer: str, validation_fraction: float) -> Path:
    key = sha256(json.dumps([FILES, corpus.hash, tokenizer, validation_fraction]).encode())[:16]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(corpus.name).name).strip(".-")[:40] or "text"
    return cache_folder() / "shards" / f"{readable}-{key}"


def _open(folder: Path, corpus: Corpus, data: DataConfig, check: bool) -> Dataset:
    """The dataset in a folder that is there, after the checks that a start can afford, or all of them."""
    try:
        tokenizer = load_tokenizer(folder / TOKENIZER)
        train, validation = (_shard(folder / f"{split}.safetensors", tokenizer, corpus, check) for split in SPLITS)
    except (UserError, OSError) as error:
        reason = error if isinstance(error, UserError) else f"{folder} cannot be read ({error.strerror})"
        raise UserError(f"{reason}. Delete the folder {folder} and run `jaxdec prepare`: it is made again") from None
    identity = sha256(json.dumps([IDS, corpus.hash, tokenizer.hash, data.validation_fraction]).encode())
    entropy = corpus.conditional_entropy if tokenizer.kind == CharTokenizer.kind else None
    return Dataset(
        train.tokens,
        validation.tokens,
        tokenizer,
        corpus.name,
        entropy,
        identity,
        corpus.answers,
        train.document_starts,
        validation.document_starts,
        folder,
    )


def _shard(path: Path, tokenizer: Tokenizer, corpus: Corpus, check: bool) -> TokenFile:
    shard = open_tokens(path, whole=check)
    if shard.about.get("tokenizer_hash") != tokenizer.hash:
        raise damaged(path, f"its ids are of another tokenizer than {path.parent / TOKENIZER}")
    if shard.about.get("corpus_hash") != corpus.hash:
        raise damaged(path, f"it is of another corpus than {corpus.name}")
    return shard
