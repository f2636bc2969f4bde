"""Random pairs of answers: prompts and answers of unequal lengths, both answers behind one prompt."""

from __future__ import annotations

import numpy as np

from jaxdec.config.run import RunConfig
from jaxdec.parity.setting import PairBatch


def batches(config: RunConfig, seed: int, count: int) -> list[PairBatch]:
    """Batches of pairs, [P,2,T]."""
    rng = np.random.default_rng(seed)
    return [batch(config, rng) for _ in range(count)]


def batch(config: RunConfig, rng: np.random.Generator) -> PairBatch:
    """References lie some nats around what a uniform guess gives, so that the losses are neither flat nor steep."""
    pairs, window, vocab_size = config.batch_size, config.window, config.model.vocab_size
    assert vocab_size is not None
    text = rng.integers(0, vocab_size, (pairs, 2, window + 1), dtype=np.int32)
    prompts = rng.integers(1, window // 2 + 1, (pairs, 1, 1))
    ends = rng.integers(window // 2 + 1, window + 1, (pairs, 2, 1))
    places = np.arange(window + 1)
    text = np.where(places < prompts, text[:, :1], text)
    mask = ((places[:-1] >= prompts - 1) & (places[:-1] < ends)).astype(np.float32)
    expected = -mask.sum(-1, dtype=np.float64) * np.log(vocab_size)
    return {
        "tokens": np.ascontiguousarray(text[..., :-1]),
        "targets": np.ascontiguousarray(text[..., 1:]),
        "mask": mask,
        "reference": expected + rng.normal(0, 3, expected.shape),
    }
