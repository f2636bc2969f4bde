"""A small model that every unit test can afford, and ways to vary it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import DataConfig, OptimConfig, Precision, RunConfig, TrainConfig
from jaxdec.models.functional import Model, Params

MODEL = DecoderConfig(layers=2, heads=2, width=16, context=8, vocab_size=11)
OPTIM = OptimConfig(learning_rate=1e-2, warmup_steps=2)
TRAIN = TrainConfig(
    steps=20, tokens_per_step=64, steps_per_dispatch=4, eval_every=10, eval_batches=2, checkpoint_every=10
)


def model(precision: Precision = Precision(), **changes: Any) -> Model:  # noqa: B008  (a frozen value)
    return Model(replace(MODEL, **changes), precision)


def run_config(**changes: Any) -> RunConfig:
    base = RunConfig(model=replace(MODEL, vocab_size=None), data=DataConfig(corpus="markov"), optim=OPTIM, train=TRAIN)
    return replace(base, **changes)


def generic_params(model: Model, seed: int = 0) -> Params:
    """Parameters of size one, norms and biases included: under the usual small ones many faults are invisible."""
    rng = np.random.default_rng(seed)
    return {
        name: jax.numpy.asarray(
            rng.normal(scale=shape.shape[0] ** -0.5 if len(shape.shape) > 1 else 0.5, size=shape.shape), shape.dtype
        )
        for name, shape in model.shapes().items()
    }


def tokens(batch: int, length: int, seed: int = 0, vocab_size: int = 11) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, vocab_size, (batch, length), dtype=np.int32)


def batch(rows: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch whose rows count unequal numbers of targets."""
    ids = tokens(rows, length + 1, seed)
    mask = (np.random.default_rng(seed + 1).random((rows, length)) < np.linspace(0.2, 1.0, rows)[:, None]).astype(
        np.float32
    )
    mask[:, 0] = 1.0
    return {"tokens": ids[:, :-1], "targets": np.ascontiguousarray(ids[:, 1:]), "mask": mask}
