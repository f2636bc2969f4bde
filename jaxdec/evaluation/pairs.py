"""Evaluators of encoder-decoders: losses and token accuracy with the true target before each token, and what greedy
decoding makes of the source alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.config.run import RunConfig
from jaxdec.data.pairs import PairDataset, pair_sweep
from jaxdec.evaluation.bleu import bleu
from jaxdec.generation.beam import Beam
from jaxdec.generation.translation import translate
from jaxdec.models.functional import Model, Params
from jaxdec.training.losses import token_losses
from jaxdec.training.stage import Evaluator

TRANSLATED = 1000  # validation sources that are translated: a fixed sample
GREEDY = Beam(width=1, length_penalty=0.0)

RowScores = Callable[[Params, Any], tuple[jax.Array, jax.Array, jax.Array]]


def make_row_scores(model: Model) -> RowScores:
    """Compiled (params, batch) -> for each row [B] the summed loss of its targets in nats, how many of them the most
    probable token hits, and how many there are."""

    @jax.jit
    def row_scores(params: Params, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        logits_BTV = model.read(params, batch).logits_BTV
        losses_BT = token_losses(logits_BTV, batch["targets"])
        mask_BT = batch["mask"].astype(losses_BT.dtype)
        hits_BT = (jnp.argmax(logits_BTV, axis=-1) == batch["targets"]) * mask_BT
        return jnp.sum(losses_BT * mask_BT, axis=-1), jnp.sum(hits_BT, axis=-1), jnp.sum(mask_BT, axis=-1)

    return row_scores


def score(row_scores: RowScores, params: Params, batches: Iterable[Any]) -> tuple[float, float, float]:
    """The mean loss per target in nats, its standard error over pairs, and the share of targets that are hit."""
    # Each result is read before the next program starts, as in `text.mean_loss`.
    triples = [jax.device_get(row_scores(params, batch)) for batch in batches]
    sums, hits, counts = (np.concatenate(parts).astype(np.float64) for parts in zip(*triples, strict=True))
    mean, rows = sums.sum() / counts.sum(), max(2, int((counts > 0).sum()))
    error = np.sqrt(np.sum((sums - mean * counts) ** 2) * rows / (rows - 1)) / counts.sum()
    return float(mean), float(error), float(hits.sum() / counts.sum())


def first_batches(row_scores: RowScores, config: RunConfig, dataset: PairDataset) -> Evaluator:
    """The first `train.eval_batches` batches of both splits, which are samples: yields `training_loss`,
    `validation_loss` and `token_accuracy`."""
    batches = partial(
        pair_sweep, boundary=dataset.boundary, batch_size=config.batch_size, most=config.train.eval_batches
    )

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        yield "training_loss", score(row_scores, params, batches(dataset.train))[0]
        loss, _, accuracy = score(row_scores, params, batches(dataset.validation))
        yield "validation_loss", loss
        yield "token_accuracy", accuracy

    return evaluate


def all_pairs(row_scores: RowScores, config: RunConfig, dataset: PairDataset) -> Evaluator:
    """The whole validation split: yields `sweep_loss`, `sweep_standard_error`, `token_accuracy`, and how many pairs of
    both splits were too long; where the target follows from the source, `floor` (zero) and `excess` too."""

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        batches = pair_sweep(dataset.validation, dataset.boundary, config.batch_size)
        loss, error, accuracy = score(row_scores, params, batches)
        yield "sweep_loss", loss
        yield "sweep_standard_error", error
        yield "token_accuracy", accuracy
        if dataset.determined:
            yield "floor", 0.0
            yield "excess", loss
        yield "dropped_pairs", sum(dataset.dropped.values())

    return evaluate


def translations(model: Model, dataset: PairDataset) -> Evaluator:
    """Greedy translations of the first TRANSLATED validation sources: yields `exact_match`, the share that equals one
    of the source's targets, and, where a source may have several, `bleu` against all of them."""
    tokenizer, pairs = dataset.tokenizer, dataset.validation
    rows = list(pairs.rows.values())[:TRANSLATED]
    sources = [pairs.source(first) for first, *_ in rows]

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        found = translate(model, params, sources, GREEDY, boundary=dataset.boundary, vocab_size=tokenizer.vocab_size)
        hits = [
            any(np.array_equal(target.tokens, pairs.target(row)) for row in right)
            for target, right in zip(found, rows, strict=True)
        ]
        yield "exact_match", sum(hits) / len(hits)
        if not dataset.determined:
            references = [[pairs.texts[row][1] for row in right] for right in rows]
            yield "bleu", bleu([tokenizer.decode(target.tokens) for target in found], references)

    return evaluate
