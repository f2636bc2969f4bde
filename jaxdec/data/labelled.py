"""Texts with labels as token ids: split by class and seed, padded to one length, in batches that follow from a step.

Which split a text belongs to is decided by a hash of the seed and the text alone, class by class: the order of the file
does not matter, each split has its share of each class, and no text is in two splits, however often the file has it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdec.config.classify import Classify
from jaxdec.config.run import DataConfig
from jaxdec.data.batches import Batch, epoch_rows
from jaxdec.data.corpora.labelled import Example, load_examples
from jaxdec.data.files import sha256
from jaxdec.data.pairs import boundary_of
from jaxdec.data.tokenizers.registry import Tokenizer, UnseenCharacter, train_tokenizer
from jaxdec.errors import UserError, listed

FORMAT = 1  # part of the hash: of how texts become batches
SPLITS = ("training", "validation", "test")


@dataclass(frozen=True)
class LabelledRows:
    """N texts: `tokens` int32 [N,T], each followed by pads; `lengths` int32 [N] without them; `labels` int32 [N].
    `truncated`: how many texts were longer than the window, and lost their end."""

    texts: tuple[str, ...]
    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    truncated: int

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class LabelledDataset:
    """`splits`: training, validation and test. `weights` float32 [C]: what a text of each class counts in the loss.
    `left_out`: texts that are in no split, by the reason. `hash`: equal hashes, equal batches."""

    splits: Mapping[str, LabelledRows]
    labels: tuple[str, ...]
    weights: np.ndarray
    tokenizer: Tokenizer
    pad: int
    corpus: str
    left_out: Mapping[str, int]
    hash: str


def prepare_labelled(
    data: DataConfig,
    stage: Classify,
    window: int,
    *,
    from_file: Path | None = None,
    tokenizer: Tokenizer | None = None,
) -> LabelledDataset:
    """The texts of `data.corpus` in rows of `window` tokens. Without `tokenizer` one is trained on the training split.
    Raises UserError for a corpus that cannot be used."""
    for name in ("limit_documents", "limit_files"):
        if getattr(data, name) is not None:
            raise UserError(f"data.{name} means nothing to texts with labels: leave it out")
    corpus, examples = load_examples(data.corpus, stage.label_field, data.text_field, stage.labels, from_file)
    labels = stage.labels or labels_of(examples, corpus)
    kept, left_out = chosen(examples, labels, stage)
    splits = split(kept, labels, data.validation_fraction, stage, corpus)
    if tokenizer is None:
        tokenizer = train_tokenizer(data.tokenizer, "\n".join(example.text for example in splits["training"]))
    pad = boundary_of(tokenizer)
    rows = {name: encode(tokenizer, part, labels, pad, window, corpus) for name, part in splits.items()}
    return LabelledDataset(
        splits=rows,
        labels=labels,
        weights=class_weights(rows["training"].labels, len(labels), stage),
        tokenizer=tokenizer,
        pad=pad,
        corpus=corpus,
        left_out=left_out,
        hash=sha256(json.dumps([FORMAT, splits, labels, stage.balance, tokenizer.hash, window]).encode()),
    )


def labels_of(examples: Sequence[Example], corpus: str) -> tuple[str, ...]:
    """All labels, sorted; as numbers where all are. Raises UserError for one class alone."""
    found = {example.label for example in examples}
    if len(found) < 2:
        raise UserError(
            f"the corpus {corpus} has one class only, {next(iter(found))!r}: a classifier needs texts of two classes "
            "or more"
        )
    numbers = all(label.isascii() and label.isdigit() for label in found)
    return tuple(sorted(found, key=lambda label: (int(label) if numbers else 0, label)))


def place(stage: Classify, text: str) -> str:
    """Where a text comes in the order that decides about the splits."""
    return sha256(f"{stage.split_seed} {text}".encode())


def chosen(examples: Sequence[Example], labels: Sequence[str], stage: Classify) -> tuple[list[Example], dict[str, int]]:
    """The texts that are used, in their order, and how many are not."""
    said: dict[str, set[str]] = {}
    for example in examples:
        said.setdefault(example.text, set()).add(example.label)
    clear = [example for example in examples if len(said[example.text]) == 1]
    ordered = sorted(clear, key=lambda example: place(stage, example.text))
    sizes = [sum(example.label == label for example in ordered) for label in labels]
    most = min(sizes) if stage.balance == "undersample" else len(ordered)
    counts = dict.fromkeys(labels, 0)
    kept = []
    for example in ordered:
        counts[example.label] += 1
        if counts[example.label] <= most:
            kept.append(example)
    left_out = {
        "with several labels": len(examples) - len(clear),
        "to make the classes equal": len(ordered) - len(kept),
    }
    return kept, {reason: count for reason, count in left_out.items() if count}


def split(
    ordered: Sequence[Example], labels: Sequence[str], validation_fraction: float, stage: Classify, corpus: str
) -> dict[str, list[Example]]:
    """The texts of each split, classes mixed. Raises UserError where a class is too small to be in each of them."""
    parts: dict[str, list[Example]] = {name: [] for name in SPLITS}
    for label in labels:
        mine = [example for example in ordered if example.label == label]
        train = border(mine, 1 - validation_fraction - stage.test_fraction)
        validation = border(mine, 1 - stage.test_fraction)
        if not 0 < train < validation < len(mine):
            raise UserError(
                f"the class {label!r} of the corpus {corpus} has {len(mine)} texts: too few to be trained on, "
                "validated and tested. Give more of them, or larger data.validation_fraction and stage.test_fraction"
            )
        for name, part in zip(SPLITS, (mine[:train], mine[train:validation], mine[validation:]), strict=True):
            parts[name] += part
    return {name: sorted(part, key=lambda example: place(stage, example.text)) for name, part in parts.items()}


def border(examples: Sequence[Example], share: float) -> int:
    """How many texts make up a share of them, or a few more: equal texts, which are neighbours, stay together."""
    count = round(share * len(examples))
    while 0 < count < len(examples) and examples[count].text == examples[count - 1].text:
        count += 1
    return count


def encode(
    tokenizer: Tokenizer, examples: Sequence[Example], labels: Sequence[str], pad: int, window: int, corpus: str
) -> LabelledRows:
    """Texts as rows. Raises UserError for a character that is new to the tokenizer."""
    texts = tuple(example.text for example in examples)

    def ids_of(text: str) -> np.ndarray:
        try:
            return tokenizer.encode(text)
        except UnseenCharacter as error:
            raise UserError(
                f"the corpus {corpus} has the text {text[:60]!r}, and what its tokenizer was trained on never has "
                f"{text[error.offset]!r}: remove it, or take a tokenizer of bytes (--data.tokenizer bpe)"
            ) from None

    ids = [ids_of(text) for text in texts]
    if empty := [text for text, row in zip(texts, ids, strict=True) if not len(row)]:
        raise UserError(f"the corpus {corpus} has texts without a token: {listed(map(repr, empty))}. Remove them")
    tokens, lengths = padded(ids, pad, window)
    number = {label: index for index, label in enumerate(labels)}
    classes = np.array([number[example.label] for example in examples], np.int32)
    return LabelledRows(texts, tokens, lengths, classes, sum(len(row) > window for row in ids))


def padded(rows: Sequence[np.ndarray], pad: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `window` ids of each row, with pads behind: int32 [N,T]; and how many are no pads, int32 [N]."""
    tokens = np.full((len(rows), window), pad, np.int32)
    for index, row in enumerate(rows):
        tokens[index, : min(len(row), window)] = row[:window]
    return tokens, np.array([min(len(row), window) for row in rows], np.int32)


def class_weights(labels: np.ndarray, classes: int, stage: Classify) -> np.ndarray:
    """float32 [C]: N / (C * texts of the class): all classes weigh the same, and the mean weight is 1. Else ones."""
    if stage.balance != "weight":
        return np.ones(classes, np.float32)
    return (len(labels) / (classes * np.bincount(labels, minlength=classes))).astype(np.float32)


class LabelledBatches:
    """Training batches: each epoch visits every text once, in an order drawn from (seed, epoch)."""

    def __init__(self, rows: LabelledRows, weights: np.ndarray, batch_size: int) -> None:
        self.rows, self.weights, self.batch_size = rows, weights, batch_size

    def __call__(self, seed: int, step: int) -> Batch:
        """The global batch of a step, on any process and in any order of calls."""
        return batch_of(self.rows, epoch_rows(seed, step, len(self.rows), self.batch_size), self.weights)


def text_sweep(rows: LabelledRows, batch_size: int, most: int | None = None) -> Iterator[dict[str, np.ndarray]]:
    """`tokens` and `lengths` of every text once, in order, at most `most` batches; the last one is filled up with the
    last text."""
    for first in itertools.islice(range(0, len(rows), batch_size), most):
        here = np.minimum(np.arange(first, first + batch_size), len(rows) - 1)
        yield {"tokens": rows.tokens[here], "lengths": rows.lengths[here]}


def batch_of(rows: LabelledRows, chosen: np.ndarray, weights: np.ndarray) -> Batch:
    """`tokens` int32 [B,T], `lengths` and `labels` int32 [B], `weights` float32 [B]."""
    labels = rows.labels[chosen]
    return {
        "tokens": rows.tokens[chosen],
        "lengths": rows.lengths[chosen],
        "labels": labels,
        "weights": weights[labels],
    }
