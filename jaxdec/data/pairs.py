"""Pairs as token ids: split by source, padded to one length, and cut into batches that are pure functions of a step.

One token begins and ends every text, and fills the rows up: the tokenizer's <|endoftext|>, or else the newline, which
no text of a pair holds. The encoder reads the source and the end; the decoder reads the beginning and the target, and
predicts the target and the end. Nothing is kept on disk: a corpus of pairs is encoded in seconds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdec.config.run import DataConfig
from jaxdec.data.batches import Batch, epoch_rows
from jaxdec.data.corpora.pairs import PairCorpus, SentencePair, load_pairs
from jaxdec.data.files import sha256
from jaxdec.data.tokenizers.registry import Tokenizer, UnseenCharacter, train_tokenizer
from jaxdec.errors import UserError

FORMAT = 1  # part of the hash: of how texts become batches


@dataclass(frozen=True)
class Pairs:
    """N pairs, in an order that has nothing to do with their texts; ids int32 [N, window], counts [N] with the end."""

    texts: Sequence[SentencePair]
    sources: np.ndarray
    source_counts: np.ndarray
    targets: np.ndarray
    target_counts: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def rows(self) -> dict[str, list[int]]:
        """The rows of each source, which may have several targets; in their order."""
        found: dict[str, list[int]] = {}
        for row, (source, _) in enumerate(self.texts):
            found.setdefault(source, []).append(row)
        return found

    def source(self, row: int) -> np.ndarray:
        """The ids of a source, without the end."""
        return self.sources[row, : self.source_counts[row] - 1]

    def target(self, row: int) -> np.ndarray:
        """The ids of a target, without the end."""
        return self.targets[row, : self.target_counts[row] - 1]


@dataclass(frozen=True)
class PairDataset:
    """`hash`: equal hashes, equal ids. `dropped`: how many pairs of each split were too long for the window."""

    train: Pairs
    validation: Pairs
    tokenizer: Tokenizer
    boundary: int
    corpus: str
    determined: bool
    dropped: dict[str, int]
    hash: str


def prepare_pairs(
    data: DataConfig, window: int, *, from_file: Path | None = None, tokenizer: Tokenizer | None = None
) -> PairDataset:
    """The pairs of `data.corpus`, in rows of `window` tokens. Without `tokenizer` one is trained on both sides of the
    training split. Raises UserError for a corpus that cannot be used."""
    for name in ("text_field", "limit_documents", "limit_files"):
        if getattr(data, name) is not None:
            raise UserError(f"data.{name} means nothing to a corpus of pairs: leave it out")
    corpus = load_pairs(data.corpus, from_file)
    train, validation = split(corpus, data.validation_fraction)
    if tokenizer is None:
        tokenizer = train_tokenizer(data.tokenizer, "\n".join(text for pair in train for text in pair))
    boundary = boundary_of(tokenizer)
    kept = {
        name: encode(tokenizer, texts, boundary, window, corpus.name)
        for name, texts in (("training", train), ("validation", validation))
    }
    identity = [FORMAT, corpus.hash, tokenizer.hash, data.validation_fraction, window]
    return PairDataset(
        train=kept["training"],
        validation=kept["validation"],
        tokenizer=tokenizer,
        boundary=boundary,
        corpus=corpus.name,
        determined=corpus.determined,
        dropped={
            "training": len(train) - len(kept["training"]),
            "validation": len(validation) - len(kept["validation"]),
        },
        hash=sha256(json.dumps(identity).encode()),
    )


def split(corpus: PairCorpus, validation_fraction: float) -> tuple[list[SentencePair], list[SentencePair]]:
    """Training and validation pairs. A hash of the source alone decides, so that no source is in both, whatever the
    order of the corpus; each split is in the order of the hashes, so that its first pairs are a sample of all."""
    places = {source: int(sha256(source.encode())[:13], 16) / 16**13 for source, _ in corpus.pairs}
    ordered = sorted(corpus.pairs, key=lambda pair: (places[pair[0]], pair))
    cut = sum(places[source] < validation_fraction for source, _ in ordered)
    if not 0 < cut < len(ordered):
        raise UserError(
            f"the corpus {corpus.name} is too short: its {len(places)} sources cannot be split into training and "
            f"validation (data.validation_fraction {validation_fraction}). Give more pairs"
        )
    return ordered[cut:], ordered[:cut]


def boundary_of(tokenizer: Tokenizer) -> int:
    """The token that begins and ends texts. Raises UserError for a tokenizer that has none."""
    if tokenizer.end_of_text is not None:
        return tokenizer.end_of_text
    try:
        (newline,) = tokenizer.encode("\n").tolist()
    except (UserError, ValueError):
        raise UserError(
            "the tokenizer has no token to end a text with, neither <|endoftext|> nor a newline: choose another one"
        ) from None
    return newline


def encode(tokenizer: Tokenizer, texts: Sequence[SentencePair], boundary: int, window: int, corpus: str) -> Pairs:
    """Ids of the pairs of which both sides, with the end, fit the window. UserError where none does, or a character of
    the validation split is new to the tokenizer."""

    def ids(text: str) -> np.ndarray:
        try:
            return tokenizer.encode(text)
        except UnseenCharacter as error:
            raise UserError(
                f"the corpus {corpus} has the text {text!r}, and what its tokenizer was trained on never has "
                f"{text[error.offset]!r}: remove it, or take a tokenizer of bytes (--data.tokenizer.kind bpe)"
            ) from None

    encoded = [(pair, ids(pair[0]), ids(pair[1])) for pair in texts]
    kept = [entry for entry in encoded if max(len(entry[1]), len(entry[2])) < window]
    if not kept:
        shortest = min(max(len(source), len(target)) for _, source, target in encoded)
        raise UserError(
            f"no pair of the corpus {corpus} fits the window of {window} tokens: the shortest needs {shortest + 1}. "
            "Give a larger --model.context"
        )
    sources, source_counts = padded([source for _, source, _ in kept], boundary, window)
    targets, target_counts = padded([target for _, _, target in kept], boundary, window)
    return Pairs([pair for pair, _, _ in kept], sources, source_counts, targets, target_counts)


def validation_sources(data: DataConfig, tokenizer: Tokenizer, window: int, count: int) -> list[str]:
    """The first `count` different sources of the validation split that fit the window."""
    texts = dict.fromkeys(source for source, _ in split(load_pairs(data.corpus), data.validation_fraction)[1])
    fitting = (text for text in texts if len(tokenizer.encode(text)) < window)
    return list(itertools.islice(fitting, count))


def padded(rows: Sequence[np.ndarray], boundary: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids, each with the boundary behind it to the end of the window, int32 [N, window]; and their lengths with
    one boundary, [N]."""
    ids = np.full((len(rows), window), boundary, np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    return ids, np.array([len(row) + 1 for row in rows], np.int64)


class PairBatches:
    """Training batches: each epoch visits every pair once, in an order drawn from (seed, epoch)."""

    def __init__(self, pairs: Pairs, boundary: int, batch_size: int) -> None:
        self.pairs, self.boundary, self.batch_size = pairs, boundary, batch_size

    def __call__(self, seed: int, step: int) -> Batch:
        """The global batch of a step, on any process and in any order of calls."""
        return batch_of(self.pairs, epoch_rows(seed, step, len(self.pairs), self.batch_size), self.boundary)


def pair_sweep(pairs: Pairs, boundary: int, batch_size: int, most: int | None = None) -> Iterator[Batch]:
    """Every pair once, in order, at most `most` batches; rows that fill the last one up count no target."""
    for first in list(range(0, len(pairs), batch_size))[:most]:
        rows = np.arange(first, first + batch_size)
        batch = batch_of(pairs, np.minimum(rows, len(pairs) - 1), boundary)
        yield {**batch, "mask": batch["mask"] * (rows < len(pairs))[:, None].astype(np.float32)}


def batch_of(pairs: Pairs, rows: np.ndarray, boundary: int) -> Batch:
    """`tokens`, `targets`, `source` int32 [B, window]; `mask`, `source_mask` float32, 1 where a token counts."""
    targets, slots = pairs.targets[rows], np.arange(pairs.targets.shape[1])[None, :]
    return {
        "tokens": np.concatenate([np.full((len(rows), 1), boundary, np.int32), targets[:, :-1]], axis=1),
        "targets": targets,
        "mask": (slots < pairs.target_counts[rows][:, None]).astype(np.float32),
        "source": pairs.sources[rows],
        "source_mask": (slots < pairs.source_counts[rows][:, None]).astype(np.float32),
    }
