"""Evaluators of preferences: how much more probable than under the reference the chosen answers became, and how often
they gained more than the rejected ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxdec.config.preference import PreferenceLoss
from jaxdec.config.run import RunConfig
from jaxdec.data.batches import Batch
from jaxdec.data.preferences import PreferenceDataset, PreferencePairs
from jaxdec.models.functional import Model, Params
from jaxdec.training.preference import answer_log_probabilities, pair_scores
from jaxdec.training.stage import Evaluator

LogProbabilities = Callable[[Params, Any], jax.Array]
READ = ("tokens", "targets", "mask")


def make_log_probabilities(model: Model) -> LogProbabilities:
    """Compiled (params, batch) -> log p(answer | prompt) of both answers in nats, [P,2]."""

    @jax.jit
    def log_probabilities(params: Params, batch: dict[str, jax.Array]) -> jax.Array:
        return answer_log_probabilities(model.read, params, batch)[0]

    return lambda params, batch: log_probabilities(params, {name: batch[name] for name in READ})


def of_all(log_probabilities: LogProbabilities, params: Params, batches: Iterable[Batch], count: int) -> np.ndarray:
    """Log-probabilities of the first `count` pairs of a sweep, [count, 2]."""
    # Each result is read before the next program starts, as in `text.mean_loss`.
    found = [np.asarray(jax.device_get(log_probabilities(params, batch))) for batch in batches]
    return np.concatenate(found)[:count]


class Scores:
    """Means over pairs. `reference`: the model that is read with the same parameters, None where the pairs have its
    log-probabilities."""

    def __init__(self, loss: PreferenceLoss, policy: LogProbabilities, reference: LogProbabilities | None) -> None:
        self.loss, self.policy, self.reference = loss, policy, reference

    def of(self, params: Params, pairs: PreferencePairs, batch_size: int, most: int | None = None) -> dict[str, float]:
        """What `pair_scores` says of the pairs, of `most` batches at most."""
        count = len(pairs) if most is None else min(len(pairs), most * batch_size)
        sweep = partial(pairs.sweep, batch_size, most)
        log_p_N2 = of_all(self.policy, params, sweep(), count)
        if self.reference is not None:
            reference_N2 = of_all(self.reference, params, sweep(), count)
        else:
            assert pairs.reference is not None
            reference_N2 = pairs.reference[:count]
        scores = pair_scores(self.loss, jax.numpy.asarray(log_p_N2), jax.numpy.asarray(reference_N2))
        return {name: float(np.mean(np.asarray(values, np.float64))) for name, values in scores.items()}


def first_batches(scores: Scores, config: RunConfig, data: PreferenceDataset) -> Evaluator:
    """The first `train.eval_batches` batches of the training and the validation split, which are samples: yields
    `training_loss` and all scores of the validation split."""

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        of = partial(scores.of, params, batch_size=config.batch_size, most=config.train.eval_batches)
        yield "training_loss", of(data.splits["training"])["loss"]
        yield from named("validation", of(data.splits["validation"]))

    return evaluate


def all_pairs(scores: Scores, config: RunConfig, data: PreferenceDataset) -> Evaluator:
    """All pairs of the validation and of the test split: yields all scores of both, of which the validation loss is
    called `sweep_loss` as in other stages, and how many pairs they are of."""

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        for split in ("validation", "test"):
            pairs = data.splits[split]
            if len(pairs):
                found = scores.of(params, pairs, config.batch_size)
                if split == "validation":
                    yield "sweep_loss", found.pop("loss")
                yield from named(split, found)
                yield f"{split}_pairs", len(pairs)

    return evaluate


def named(split: str, scores: dict[str, float]) -> Iterator[tuple[str, float]]:
    return ((f"{split}_{name}", value) for name, value in scores.items())
