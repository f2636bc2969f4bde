"""A stream of stretches to token ids, on all cores and in bounded memory: what is read ahead is a few batches.

Threads do it: the tokenizers that matter for large texts (tiktoken, Hugging Face's) run outside Python's lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jaxdec.data.corpora.base import PIECE
from jaxdec.data.tokenizers.registry import Tokenizer, UnseenCharacter
from jaxdec.data.tokens.split import SPLITS, Reading, Stretch
from jaxdec.errors import UserError

AHEAD = 2  # batches in work or waiting, per core


class Encoded(NamedTuple):
    """What came of a batch, in the order of the corpus: by split, the ids and the starts of documents among them."""

    ids: dict[str, np.ndarray]
    starts: dict[str, np.ndarray]
    reading: Reading  # how far the corpus is read with it
    characters: int


class Unencodable(Exception):
    """`error` at `offset` of a document: the tokenizer cannot encode what stands there."""

    def __init__(self, stretch: Stretch, offset: int, error: UserError) -> None:
        super().__init__(str(error))
        self.stretch, self.offset, self.error = stretch, offset, error


class Encoder:
    """`boundary`: the id that every document begins with; None for a corpus that is one document."""

    def __init__(self, tokenizer: Tokenizer, boundary: int | None, dtype: np.dtype) -> None:
        self.tokenizer, self.dtype = tokenizer, dtype
        self.boundary = np.array([] if boundary is None else [boundary], dtype)

    def __call__(self, batch: Sequence[Stretch], reading: Reading) -> Encoded:
        """Raises Unencodable."""
        ids: dict[str, list[np.ndarray]] = {split: [np.zeros(0, self.dtype)] for split in SPLITS}
        counts, starts = dict.fromkeys(SPLITS, 0), {split: [] for split in SPLITS}
        for stretch, found in zip(batch, self._encode_all(batch), strict=True):
            if stretch.begins:
                starts[stretch.split].append(counts[stretch.split])
                ids[stretch.split].append(self.boundary)
                counts[stretch.split] += len(self.boundary)
            ids[stretch.split].append(found)
            counts[stretch.split] += len(found)
        return Encoded(
            {split: np.concatenate(parts, dtype=self.dtype, casting="unsafe") for split, parts in ids.items()},
            {split: np.array(places, np.int64) for split, places in starts.items()},
            reading,
            sum(len(stretch.text) for stretch in batch),
        )

    def _encode_all(self, batch: Sequence[Stretch]) -> list[np.ndarray]:
        try:
            return self.tokenizer.encode_all([stretch.text for stretch in batch])
        except UserError:
            for stretch in batch:  # which one?
                try:
                    self.tokenizer.encode(stretch.text)
                except UserError as error:
                    offset = error.offset if isinstance(error, UnseenCharacter) else 0
                    raise Unencodable(stretch, stretch.offset + offset, error) from None
            raise


def encode_stream(
    encoder: Encoder, stretches: Iterable[tuple[list[Stretch], Reading]], *, batch_size: int = PIECE // 2
) -> Iterator[Encoded]:
    """The batches of about `batch_size` characters, encoded, in order. Raises Unencodable; and what reading raises,
    once all that was read before is given out."""
    workers = cores()
    waiting: deque[Future[Encoded]] = deque()
    failed: UserError | None = None
    batches = _batches(stretches, batch_size)
    pool = ThreadPoolExecutor(workers, "encode")
    try:
        while True:
            try:
                batch, reading = next(batches)
            except StopIteration:
                break
            except UserError as error:
                failed = error
                break
            waiting.append(pool.submit(encoder, batch, reading))
            while len(waiting) > AHEAD * workers or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
    if failed is not None:
        raise failed


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _batches(stretches: Iterable[tuple[list[Stretch], Reading]], size: int) -> Iterator[tuple[list[Stretch], Reading]]:
    batch: list[Stretch] = []
    held, reading = 0, None
    for found, reading in stretches:
        batch += found
        held += sum(len(stretch.text) for stretch in found)
        if held >= size:
            yield batch, reading
            batch, held = [], 0
    if reading is not None:
        yield batch, reading
