"""What a classifier says of texts, and how well: evaluators, and answers for single texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdec.config.classify import Classify
from jaxdec.config.run import RunConfig
from jaxdec.data.labelled import LabelledDataset, LabelledRows, padded, text_sweep
from jaxdec.data.pairs import boundary_of
from jaxdec.errors import UserError
from jaxdec.evaluation.intervals import class_scores
from jaxdec.models.functional import Model, Params
from jaxdec.runs.loading import LoadedRun
from jaxdec.training.classification import read_at
from jaxdec.training.stage import Evaluator

ClassLogits = Callable[[Params, Any], jax.Array]
MOST_CELLS = 100  # of a confusion matrix whose numbers go into the log of a run


class Answer(NamedTuple):
    """What a classifier says of a text. `probabilities`: of every class. `truncated`: only the text's beginning fitted
    into the window."""

    text: str
    label: str
    probability: float
    probabilities: dict[str, float]
    truncated: bool


def stage_of(config: RunConfig) -> Classify:
    """The stage of a classifier's run."""
    stage = config.resolved_stage
    assert isinstance(stage, Classify)
    return stage


def make_class_logits(model: Model, stage: Classify) -> ClassLogits:
    """Compiled (params, `tokens` and `lengths` of a batch) -> the logits of each text, [B,C]."""

    @jax.jit
    def class_logits(params: Params, batch: dict[str, jax.Array]) -> jax.Array:
        return read_at(model.read(params, batch).logits_BTV, batch["lengths"], stage.at)

    return class_logits


def all_logits(
    class_logits: ClassLogits, params: Params, rows: LabelledRows, batch_size: int, most: int | None = None
) -> np.ndarray:
    """Logits of the texts in order, float64 [N,C]; of at most `most` batches."""
    # Each result is read before the next program starts, as in `text.mean_loss`.
    found = [jax.device_get(class_logits(params, batch)) for batch in text_sweep(rows, batch_size, most)]
    return np.concatenate(found).astype(np.float64)[: len(rows)]


def on_the_way(class_logits: ClassLogits, config: RunConfig, data: LabelledDataset) -> Evaluator:
    """Loss and accuracy on the first `train.eval_batches` batches of the training split, and on all of the validation
    split: `training_loss`, `training_accuracy`, `validation_loss`, `validation_accuracy`."""

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        for name, most in (("training", config.train.eval_batches), ("validation", None)):
            logits_NC = all_logits(class_logits, params, data.splits[name], config.batch_size, most)
            labels_N = data.splits[name].labels[: len(logits_NC)]
            picked_N = logits_NC[np.arange(len(labels_N)), labels_N]
            yield f"{name}_loss", float(np.mean(np.logaddexp.reduce(logits_NC, axis=1) - picked_N))
            yield f"{name}_accuracy", float(np.mean(logits_NC.argmax(axis=1) == labels_N))

    return evaluate


def all_scores(class_logits: ClassLogits, config: RunConfig, data: LabelledDataset) -> Evaluator:
    """Every score of every split, as `test_accuracy`, with `_low` and `_high` for its interval; and the confusion
    matrix, as `test_confusion/ham/spam` for what is ham and was taken for spam, unless it has very many cells."""

    def evaluate(params: Params) -> Iterator[tuple[str, float]]:
        for name, rows in data.splits.items():
            scores, matrix = class_scores(all_logits(class_logits, params, rows, config.batch_size), rows.labels)
            for score, (value, low, high) in scores.items():
                yield f"{name}_{score}", value
                yield f"{name}_{score}_low", low
                yield f"{name}_{score}_high", high
            for row, column in np.ndindex(matrix.shape) if matrix.size <= MOST_CELLS else ():
                yield f"{name}_confusion/{data.labels[row]}/{data.labels[column]}", float(matrix[row, column])

    return evaluate


def classify_texts(run: LoadedRun, texts: Sequence[str], batch_size: int = 32) -> list[Answer]:
    """The class of each text and its probability. Raises UserError for a run that is no classifier, for an empty text,
    and for characters that the tokenizer does not know."""
    stage, window = require_classifier(run.config), run.config.window
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise UserError(f"text {number} is empty: give one with something to read" if len(texts) > 1 else EMPTY)
    ids = [run.tokenizer.encode(text) for text in texts]
    tokens, lengths = padded(ids, boundary_of(run.tokenizer), window)
    rows = LabelledRows(tuple(texts), tokens, lengths, np.zeros(len(ids), np.int32), 0)
    logits_NC = all_logits(make_class_logits(run.model, stage), run.params, rows, min(batch_size, max(1, len(ids))))
    p_NC = np.exp(logits_NC - np.logaddexp.reduce(logits_NC, axis=1, keepdims=True))
    assert stage.labels is not None
    return [
        Answer(
            text,
            stage.labels[int(p_C.argmax())],
            float(p_C.max()),
            dict(zip(stage.labels, p_C.tolist(), strict=True)),
            len(row) > window,
        )
        for text, p_C, row in zip(texts, p_NC, ids, strict=True)
    ]


EMPTY = "the text is empty: give one with something to read"


def require_classifier(config: RunConfig) -> Classify:
    """The stage of a run that classifies. Raises UserError for a run of another stage."""
    stage = config.resolved_stage
    if not isinstance(stage, Classify) or stage.labels is None:
        raise UserError(
            f"this is a run of stage {stage.kind}, not a classifier: make one of it with 'jaxdec train spam "
            "--init-from RUN', and give that"
        )
    return stage
