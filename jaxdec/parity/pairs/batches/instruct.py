"""Random entries of instructions, packed and masked by the code that a training's batches come from."""

from __future__ import annotations

import numpy as np

from jaxdec.config.decoder import DecoderConfig
from jaxdec.config.documents import Separate
from jaxdec.config.instruct import Instruct
from jaxdec.config.run import RunConfig
from jaxdec.data.instructions.batches import batch_of, rows_of
from jaxdec.data.instructions.examples import Entry, Example
from jaxdec.parity.setting import PairBatch

NOBODY = Example("", "", "", "")


def batches(config: RunConfig, seed: int, count: int) -> list[PairBatch]:
    """Batches whose rows hold several entries and unequal numbers of counted targets."""
    rng = np.random.default_rng(seed)
    return [batch(config, rng) for _ in range(count)]


def batch(config: RunConfig, rng: np.random.Generator) -> PairBatch:
    stage, model = config.resolved_stage, config.model
    assert isinstance(stage, Instruct) and isinstance(model, DecoderConfig) and isinstance(model.documents, Separate)
    end, vocab_size = model.documents.start, model.vocab_size
    assert end is not None and vocab_size is not None
    window, wanted = config.window, config.batch_size
    rows: list[tuple[Entry, ...]] = []
    while len(rows) < wanted:
        rows = rows_of([entry(rng, end, vocab_size, window) for _ in range(3 * wanted)], stage.batching, window)
    chosen = [rows[index] for index in rng.permutation(len(rows))[:wanted]]
    return dict(batch_of(chosen, window, end, prompt_counts=stage.prompt_loss == "counted"))


def entry(rng: np.random.Generator, end: int, vocab_size: int, window: int) -> Entry:
    """A prompt and a response of a third of the window each at most, without the end token inside."""
    prompt, response = rng.integers(1, window // 3 + 1, 2)
    ids = rng.integers(0, vocab_size - 1, 1 + prompt + response, dtype=np.int32)
    ids += (ids >= end).astype(np.int32)
    ids[0] = end
    return Entry(NOBODY, ids, 1 + int(prompt))
