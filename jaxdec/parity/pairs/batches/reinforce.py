"""Made-up rollouts: random prompts and answers of unequal lengths, with log-probabilities and advantages."""

from __future__ import annotations

import numpy as np

from jaxdec.config.run import RunConfig
from jaxdec.parity.setting import PairBatch


def batches(config: RunConfig, seed: int, count: int) -> list[PairBatch]:
    """Batches in which ratios are clipped in both directions, and others are not; every fourth advantage is 0."""
    rng = np.random.default_rng(seed)
    return [batch(config, rng) for _ in range(count)]


def batch(config: RunConfig, rng: np.random.Generator) -> PairBatch:
    rows, window = config.batch_size, config.window
    assert config.model.vocab_size is not None
    text = rng.integers(0, config.model.vocab_size, (rows, window + 1), dtype=np.int32)
    prompts = rng.integers(1, window // 4 + 1, rows)
    answers = rng.integers(window // 4, window // 2 + 1, rows)
    places = np.arange(window)[None, :]  # of targets: the first token of an answer is the target of a prompt's last
    mask = (places >= prompts[:, None] - 1) & (places < (prompts + answers)[:, None] - 1)
    log_p = -np.log(config.model.vocab_size) + rng.normal(size=(2, rows, window))
    signs = np.array([1, -1, 1, 0])[np.arange(rows) % 4]
    advantage = signs * rng.uniform(0.5, 2, rows)
    return {
        "tokens": text[:, :-1],
        "targets": np.ascontiguousarray(text[:, 1:]),
        "mask": mask.astype(np.float32),
        "sampler_log_p": log_p[0] * mask,
        "first_log_p": log_p[1] * mask,
        "advantage": advantage,
    }
