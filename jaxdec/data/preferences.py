"""Pairs of answers as token ids: read, split by prompt, and cut into batches that are pure functions of a step.

A row is an entry as instructions have it (`instructions/examples.py`): the end token, the prompt, the answer, and the
end token as its last target. Targets count from the first token of the answer to that end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxdec.config.preference import Preference
from jaxdec.config.run import DataConfig, RunConfig
from jaxdec.data.batches import Batch, epoch_order
from jaxdec.data.corpora import preference
from jaxdec.data.corpora.embedded import embedded_file
from jaxdec.data.corpora.preference import Preference as Pair
from jaxdec.data.files import sha256
from jaxdec.data.instructions.batches import batch_of
from jaxdec.data.instructions.examples import Entry, Example, encode, end_of, fit
from jaxdec.data.instructions.templates import form_of
from jaxdec.data.splits import split
from jaxdec.data.tokenizers.registry import Tokenizer, train_tokenizer
from jaxdec.errors import UserError, nearest

FORMAT = 1  # part of the hash: of how texts become batches
EMBEDDED = "embedded"
SPLITS = ("training", "validation", "test")
MULTIPLE = 32  # rows are padded to a multiple of so many tokens


@dataclass(frozen=True)
class PreferencePairs:
    """N pairs of entries, the chosen answer first, in rows of `length` tokens that `end` fills up. `reference` [N,2]:
    log-probabilities of both answers, where they are known."""

    entries: Sequence[tuple[Entry, Entry]]
    length: int
    end: int
    reference: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def batch(self, numbers: np.ndarray) -> Batch:
        """The pairs of these numbers: `tokens`, `targets` int32 [P,2,T], `mask` float32 [P,2,T] and, where it is known,
        `reference` [P,2]."""
        rows = [(entry,) for number in numbers.tolist() for entry in self.entries[number]]
        flat = batch_of(rows, self.length, self.end, prompt_counts=False, used=len(rows))
        batch = {name: leaf.reshape(-1, 2, self.length) for name, leaf in flat.items()}
        return batch if self.reference is None else {**batch, "reference": self.reference[numbers]}

    def sweep(self, batch_size: int, most: int | None = None) -> Iterator[Batch]:
        """Every pair once, in order, at most `most` batches; the last one is filled up with the last pair."""
        for first in list(range(0, len(self), batch_size))[:most]:
            yield self.batch(np.minimum(np.arange(first, first + batch_size), len(self) - 1))


@dataclass(frozen=True)
class PreferenceDataset:
    """`splits`: by the names in SPLITS. `hash`: equal hashes, equal ids. `left_out`: how many pairs were not used or
    were cut, by the reason."""

    splits: Mapping[str, PreferencePairs]
    tokenizer: Tokenizer
    hash: str
    left_out: Mapping[str, int] = field(default_factory=dict)


class PreferenceBatches:
    """Training batches: each epoch visits every pair once, in an order drawn from (seed, epoch)."""

    def __init__(self, pairs: PreferencePairs, batch_size: int) -> None:
        self.pairs, self.batch_size = pairs, batch_size

    def __call__(self, seed: int, step: int) -> Batch:
        """The global batch of a step, on any process and in any order of calls."""
        index = step * self.batch_size + np.arange(self.batch_size)
        epoch, place = np.divmod(index, len(self.pairs))
        numbers = np.empty(self.batch_size, np.int64)
        for current in np.unique(epoch).tolist():
            here = epoch == current
            numbers[here] = epoch_order(seed, current, len(self.pairs), 1)[1][place[here]]
        return self.pairs.batch(numbers)


def prepare_preferences(
    config: RunConfig, *, from_file: Path | None = None, tokenizer: Tokenizer | None = None
) -> PreferenceDataset:
    """The pairs of `data.corpus`, split and encoded. Without `tokenizer` one is trained on the training split. Raises
    UserError for a corpus that cannot be used, with file and line."""
    data, stage = config.data, config.resolved_stage
    assert isinstance(stage, Preference)
    given = read_pairs(data, stage, from_file)
    pairs = [pair for pair in given if pair.chosen != pair.rejected]
    places = split(
        [pair.prompt for pair in pairs],
        validation=data.validation_fraction, test=stage.test_fraction, seed=stage.split_seed,
        corpus=data.corpus, what="prompts",
    )  # fmt: skip
    texts = {name: [pairs[place] for place in found] for name, found in zip(SPLITS, places, strict=True)}
    if tokenizer is None:
        lines = (f"{pair.prompt}{text}\n" for pair in texts["training"] for text in answers(pair))
        tokenizer = train_tokenizer(data.tokenizer, lines)
    end = end_of(tokenizer)
    entries, left_out = fitted(tokenizer, end, texts, config)
    longest = max(len(entry.ids) for found in entries.values() for pair in found for entry in pair)
    length = min(config.window, -(-longest // MULTIPLE) * MULTIPLE)
    content = [[[pair.prompt, *answers(pair)] for pair in texts[name]] for name in SPLITS]
    return PreferenceDataset(
        splits={name: PreferencePairs(found, length, end) for name, found in entries.items()},
        tokenizer=tokenizer,
        hash=sha256(json.dumps([FORMAT, content, tokenizer.hash, config.window, stage.too_long]).encode()),
        left_out={"whose answers are equal, left out": len(given) - len(pairs), **left_out},
    )


def answers(pair: Pair) -> tuple[str, str]:
    return pair.chosen, pair.rejected


def read_pairs(data: DataConfig, stage: Preference, from_file: Path | None) -> list[Pair]:
    """The pairs of the real corpus, of the embedded one, or of the user's file. Raises UserError."""
    for name in ("text_field", "limit_files"):
        if getattr(data, name) is not None:
            raise UserError(f"data.{name} means nothing to pairs of answers: leave it out")
    form = form_of(stage.template)
    path = path_of(data.corpus, from_file)
    pairs = preference.records(path, lambda instruction, input: form.prompt((), instruction, input))
    return list(pairs)[: data.limit_documents]


def path_of(corpus: str, from_file: Path | None) -> Path:
    """The file of a corpus of preferences. `from_file`: the user's copy of the real one."""
    known = preference.CORPUS
    if corpus == known.name:
        known.load(from_file)
        return known.obtain()
    if from_file is not None:
        raise UserError(f"--from-file is for the corpus {known.name}, not for {corpus}: leave it out")
    if corpus == EMBEDDED:
        return Path(str(embedded_file("preferences.jsonl")))
    path = Path(corpus).expanduser()
    if not path.is_file():
        hint = nearest(corpus, (known.name, EMBEDDED))
        raise UserError(
            f"there is neither a corpus of preferences nor a file called {corpus!r}{hint}: give one of these names, or "
            "the path of a .json, .jsonl, .csv, .tsv or .parquet file of records with the fields prompt (or else "
            "instruction and input), chosen and rejected"
        )
    return path


def fitted(
    tokenizer: Tokenizer, end: int, texts: Mapping[str, Sequence[Pair]], config: RunConfig
) -> tuple[dict[str, list[tuple[Entry, Entry]]], dict[str, int]]:
    """The pairs of each split as entries that fit the window, and how many did not. Raises UserError where a split that
    has pairs keeps none."""
    window, stage = config.window, config.resolved_stage
    assert isinstance(stage, Preference)
    kept: dict[str, list[tuple[Entry, Entry]]] = {}
    dropped = cut = 0
    for name, pairs in texts.items():
        kept[name] = []
        for pair in pairs:
            whole = [encode(tokenizer, end, Example(pair.prompt, "", text, pair.prompt)) for text in answers(pair)]
            chosen, rejected = (fit(entry, window, stage.too_long) for entry in whole)
            if chosen is None or rejected is None or np.array_equal(chosen.ids, rejected.ids):
                dropped += 1  # answers that differ behind the cut alone say nothing either
                continue
            cut += not (chosen.whole and rejected.whole)
            kept[name].append((chosen, rejected))
        if pairs and not kept[name]:
            raise UserError(
                f"no {name} pair of {config.data.corpus} fits the window of {window} tokens: give a larger "
                "--data.window or --model.context, or --stage.too-long cut"
            )
    return kept, {f"longer than the window of {window} tokens, left out": dropped, "cut at the end of the window": cut}
