"""The texts that are measured: samples of a model, pieces of held-out text of the same length, and what the corpus is
like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from jaxdec.data.corpora.lines import line_parser
from jaxdec.data.corpora.playlets import grammar
from jaxdec.data.shards import Dataset
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.evaluation.quality.segments import plain, words
from jaxdec.evaluation.quality.structure import sentence_lengths
from jaxdec.generation.generate import generate
from jaxdec.generation.sampling import Sampling
from jaxdec.generation.text_stream import start_tokens
from jaxdec.runs.loading import LoadedRun

MOST_TOKENS = 5_000_000  # of the training split that are read to learn its words
ROWS = 16  # samples that are drawn at once


@dataclass(frozen=True)
class Piece:
    """A text of a fixed number of tokens. `ids`: int32 [tokens]."""

    text: str
    ids: np.ndarray


@dataclass(frozen=True)
class Reference:
    """What is known of the corpus, from its training split: its words in lower case, the words of its sentences, and
    where it comes from a grammar, whether a line could be one of its lines."""

    words: frozenset[str]
    sentence_lengths: np.ndarray
    is_line: Callable[[str], bool] | None = None


def draw_samples(run: LoadedRun, count: int, tokens: int, sampling: Sampling, seed: int) -> list[Piece]:
    """`count` samples of `tokens` tokens each, from nothing: as if a text or a paragraph had just ended. A pure
    function of the arguments; the first samples do not depend on how many follow."""
    start, found = start_tokens(run.tokenizer), []
    for batch in range(-(-count // ROWS)):
        found += generate(
            run.model,
            run.params,
            [start] * min(ROWS, count - ROWS * batch),
            max_tokens=tokens,
            sampling=sampling,
            key=jax.random.fold_in(jax.random.key(seed), batch),
            vocab_size=run.tokenizer.vocab_size,
        )
    return [piece(ids, run.tokenizer) for ids in found]


def held_out_pieces(dataset: Dataset, count: int, tokens: int) -> list[Piece]:
    """Up to `count` pieces of `tokens` tokens of the validation split, spread evenly, none overlapping: fewer where the
    split is short, none where it has not as many tokens."""
    total = len(dataset.validation)
    count = min(count, total // tokens)
    starts = np.linspace(0, total - tokens, count).astype(int) if count > 1 else [0] * count
    return [piece(np.asarray(dataset.validation[start : start + tokens]), dataset.tokenizer) for start in starts]


def reference_of(dataset: Dataset) -> Reference:
    """The corpus as its training split shows it, the first MOST_TOKENS tokens."""
    text = plain(dataset.tokenizer.decode(dataset.train[:MOST_TOKENS]))
    is_line = line_parser(grammar()) if dataset.corpus == "playlets" else None
    known = frozenset(word.lower() for word in words(text))
    return Reference(known, np.array(sentence_lengths(text)), is_line)


def piece(ids: Sequence[int] | np.ndarray, tokenizer: Tokenizer) -> Piece:
    return Piece(plain(tokenizer.decode(ids)), np.asarray(ids, np.int32))
