"""Random texts with labels: of unequal lengths, one of them filling its row, and of unequal weights."""

from __future__ import annotations

import numpy as np

from jaxdec.config.classify import Classify
from jaxdec.config.run import RunConfig
from jaxdec.parity.setting import PairBatch


def batches(config: RunConfig, seed: int, count: int) -> list[PairBatch]:
    rng = np.random.default_rng(seed)
    return [batch(config, rng) for _ in range(count)]


def batch(config: RunConfig, rng: np.random.Generator) -> PairBatch:
    stage, vocab_size = config.resolved_stage, config.model.vocab_size
    assert isinstance(stage, Classify) and stage.labels is not None and vocab_size is not None
    rows, window = config.batch_size, config.window
    lengths = rng.integers(1, window + 1, rows, dtype=np.int32)
    lengths[0] = window
    return {
        "tokens": rng.integers(0, vocab_size, (rows, window), dtype=np.int32),
        "lengths": lengths,
        "labels": rng.integers(0, len(stage.labels), rows, dtype=np.int32),
        "weights": rng.uniform(0.2, 3.0, rows).astype(np.float32),
    }
