"""A stage as a developer would add one: which letter does a text of `a` and `b` hold more often? A loss per sequence.

All that it needs besides this file: its config class in the union of `config/stages.py` and its line in the registry,
which the tests add in memory (see `registered`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.config import run as run_config
from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import Config
from jaxdec.config.run import RunConfig
from jaxdec.config.stages import AnyStage
from jaxdec.config.yaml import field_types
from jaxdec.data.batches import Batch
from jaxdec.data.tokenizers.char import CharTokenizer
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.models.functional import Model, Params
from jaxdec.stages import registry
from jaxdec.training.losses import token_losses, with_auxiliary
from jaxdec.training.stage import Apply, Evaluator, Objective, Stage


@dataclass(frozen=True)
class Majority(Config):
    """Which letter is more frequent? `padding`: of how many rows one is empty and does not count."""

    kind: ClassVar[str] = "majority"
    models: ClassVar[tuple[type, ...]] = (DecoderConfig,)
    loss_unit: ClassVar[str] = "nats per window"
    padding: int = 4


@dataclass(frozen=True)
class Letters:
    """Random texts of odd lengths, drawn when they are asked for."""

    tokenizer: Tokenizer
    window: int
    padding: int

    def batch(self, rows: int, seed: int, step: int) -> Batch:
        """`tokens` int32 [B,T], `lengths` [B] (0: the row does not count), `labels` [B]: 0 or 1."""
        draw = np.random.default_rng((seed, step))
        lengths = 2 * draw.integers(1, (self.window - 1) // 2 + 1, rows, dtype=np.int32) + 1
        tokens = draw.integers(0, 2, (rows, self.window), dtype=np.int32)
        inside = np.arange(self.window) < lengths[:, None]
        labels = (2 * (tokens * inside).sum(-1) > lengths).astype(np.int32)
        lengths[:: self.padding] = 0
        return {"tokens": tokens, "lengths": lengths, "labels": labels}


def load_data(config: RunConfig, *, from_file: Path | None, tokenizer: Tokenizer | None) -> Letters:
    stage = config.resolved_stage
    assert isinstance(stage, Majority)
    return Letters(tokenizer or CharTokenizer.train("ab"), config.window, stage.padding)


def make_stage(config: RunConfig, model: Model, data: Letters) -> Stage:
    return Stage(
        model=model,
        batch=lambda seed, step: data.batch(config.batch_size, seed, step),
        objective=Objective(sequence_loss, counted_sequences),
        evaluators=(accuracy(model, data),),
        final_evaluators=(accuracy(model, data),),
        tokenizer=data.tokenizer,
        data=f"{data.window} {data.padding}",
    )


def class_logits(apply: Apply, params: Params, batch: Batch, key: jax.Array | None) -> tuple[jax.Array, Any]:
    """Logits of the two letters behind the last token of each row, [B,2]; and the model's output."""
    output = apply(params, batch, key=key)
    last_B = jnp.maximum(batch["lengths"] - 1, 0)
    return jnp.take_along_axis(output.logits_BTV, last_B[:, None, None], axis=1)[:, 0, :2], output


def sequence_loss(apply: Apply, params: Params, batch: Batch, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    logits_BV, output = class_logits(apply, params, batch, key)
    counted_B = (batch["lengths"] > 0).astype(logits_BV.dtype)
    total = jnp.sum(token_losses(logits_BV, batch["labels"]) * counted_B)
    return with_auxiliary(total, output, jnp.sum(counted_B))


def counted_sequences(batch: Batch) -> jax.Array:
    return jnp.sum(batch["lengths"] > 0)


def accuracy(model: Model, data: Letters) -> Evaluator:
    @jax.jit
    def hits(params: Params, batch: Batch) -> jax.Array:
        logits_BV, _ = class_logits(model.read, params, batch, None)
        return (jnp.argmax(logits_BV, axis=-1) == batch["labels"]) & (batch["lengths"] > 0)

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        batch = data.batch(256, seed=0, step=2**20)  # no step of training
        yield "accuracy", float(np.sum(jax.device_get(hits(params, batch)))) / float(np.sum(batch["lengths"] > 0))

    return evaluate


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """The lines in `config/stages.py` and `stages/registry.py`, while the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_config, "AnyStage", AnyStage | Majority)
        patch.setitem(registry.STAGES, Majority.kind, "tests.stages.majority")
        field_types.cache_clear()
        yield
    field_types.cache_clear()
