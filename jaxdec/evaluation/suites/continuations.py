"""Log-probabilities of continuations of texts: what questions with choices, last words and `lm-eval` are scored by.

Rows are sorted by length and computed in batches of few shapes, so that few programs are compiled: lengths are rounded
up to 16, 24, 32, 48, 64, 96 ... Padding stands on the right, where no earlier token can read it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.config.parts import MoE
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import TrainingError
from jaxdec.generation.text_stream import start_tokens
from jaxdec.models.functional import Model, Params
from jaxdec.training.losses import token_losses

SHORTEST = 16  # the least length of a row
MOST_LOGITS, MOST_TOKENS = 2**26, 2**13  # of one call: 256 MB of float32, and no more rows than a CPU has use for


class Request(NamedTuple):
    """Token ids: `context`, at least one, and what follows it."""

    context: Sequence[int]
    continuation: Sequence[int]


@dataclass(frozen=True)
class Score:
    """log p(continuation | context) in nats; its `tokens`; whether each was the most probable one; and whether the
    beginning of the context was cut off, because the model's is shorter."""

    logprob: float
    tokens: int
    greedy: bool
    cut: bool


class Row(NamedTuple):
    """One pass of the model: `ids` [T+1], of which the last `scored` are targets that count for request `index`."""

    index: int
    ids: np.ndarray
    scored: int


Scores = Callable[[Params, Any, Any, Any], tuple[jax.Array, jax.Array]]


class Continuations:
    """Scores requests with a model; programs that were compiled once are used again."""

    def __init__(self, model: Model, params: Params) -> None:
        self.model, self.params = _dropless(model), params
        self.scores: Scores = _make_scores(self.model)

    def score(
        self, requests: Sequence[Request], on_progress: Callable[[int, int], None] = lambda *_: None
    ) -> list[Score]:
        """A score for each request, in their order. Raises TrainingError where one is no number."""
        context = self.model.config.context
        rows = [row for index, request in enumerate(requests) for row in rows_of_request(index, request, context)]
        logprobs, greedy, done = np.zeros(len(requests)), np.ones(len(requests), bool), 0
        for batch, length, count in _batches(rows, self.model, context):
            sums, hits = jax.device_get(self.scores(self.params, *_arrays(batch, length, count)))
            for row, total, hit in zip(batch, sums, hits, strict=False):  # a batch may be filled up
                logprobs[row.index] += float(total)
                greedy[row.index] &= bool(hit)
            done += len(batch)
            on_progress(done, len(rows))
        if not np.isfinite(logprobs).all():
            raise TrainingError("the model gives probabilities that are no numbers: its weights are not finite")
        cut = [len(request.context) + len(request.continuation) > context + 1 for request in requests]
        counts = [len(request.continuation) for request in requests]
        return [Score(*values) for values in zip(logprobs.tolist(), counts, greedy.tolist(), cut, strict=True)]


def encode_pair(tokenizer: Tokenizer, context: str, continuation: str) -> Request:
    """The pair as `lm-eval` cuts it: both together, with spaces at the end of the context moved to the continuation;
    what the context alone has not is the continuation. Without a context, that of an empty prompt.

    Raises UserError for characters that the tokenizer does not know, ValueError where no token is left to predict.
    """
    bare = context.rstrip()
    if not bare:
        start, ids = start_tokens(tokenizer).tolist(), tokenizer.encode(context + continuation).tolist()
    else:
        whole = tokenizer.encode(context + continuation).tolist()
        length = len(tokenizer.encode(bare))
        start, ids = whole[:length], whole[length:]
    if not ids:
        raise ValueError(f"{continuation!r} is no token of its own behind its context")
    return Request(start, ids)


def rows_of_request(index: int, request: Request, context: int) -> Iterator[Row]:
    """The passes that a request needs. One that is too long is cut on the left; where the continuation alone is longer
    than the context, several passes score it, each target behind half a context at least."""
    ids = np.asarray([*request.context, *request.continuation], np.int32)
    count = len(request.continuation)
    if count <= context:
        yield Row(index, ids[-(context + 1) :], count)
        return
    step = max(1, context // 2)
    for first in range(len(ids) - count, len(ids), step):
        end = min(first + step, len(ids))
        yield Row(index, ids[max(0, end - context - 1) : end], end - first)


def rows_per_call(vocab_size: int, length: int) -> int:
    """How many rows of a length go into one call."""
    return max(1, min(MOST_TOKENS, MOST_LOGITS // vocab_size) // length)


def _batches(rows: Sequence[Row], model: Model, context: int) -> Iterator[tuple[list[Row], int, int]]:
    """Rows of like length together, the length that they are filled up to, and how many rows the program takes."""
    assert model.config.vocab_size is not None
    by_length: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_length[min(_rounded(len(row.ids) - 1), context)].append(row)
    for length, same in sorted(by_length.items(), reverse=True):  # memory runs out at once or never
        most = min(rows_per_call(model.config.vocab_size, length), 1 << (len(same) - 1).bit_length())
        for first in range(0, len(same), most):
            yield same[first : first + most], length, most


def _rounded(length: int) -> int:
    """The next of 16, 24, 32, 48, 64, 96 ..."""
    size = SHORTEST
    while size < length:
        if size * 3 // 2 >= length:
            return size * 3 // 2
        size *= 2
    return size


def _arrays(rows: Sequence[Row], length: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """tokens, targets int32 and mask bool, [count, length]."""
    tokens, targets = (np.zeros((count, length), np.int32) for _ in range(2))
    mask = np.zeros((count, length), bool)
    for place, row in enumerate(rows):
        end = len(row.ids) - 1
        tokens[place, :end], targets[place, :end] = row.ids[:-1], row.ids[1:]
        mask[place, end - row.scored : end] = True
    return tokens, targets, mask


def _make_scores(model: Model) -> Scores:
    """Compiled (params, tokens, targets, mask [B,T]) -> the sum of the counted log-probabilities [B], and whether all
    counted targets are the most probable token [B]."""

    @jax.jit
    def scores(
        params: Params, tokens_BT: jax.Array, targets_BT: jax.Array, mask_BT: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        logits_BTV = model.apply(params, tokens_BT).logits_BTV
        losses_BT = token_losses(logits_BTV, targets_BT)
        hits_BT = (jnp.argmax(logits_BTV, axis=-1) == targets_BT) | ~mask_BT
        return -jnp.sum(jnp.where(mask_BT, losses_BT, 0), axis=-1), jnp.all(hits_BT, axis=-1)

    return scores


def _dropless(model: Model) -> Model:
    """The model with room for every token at every expert: with less, the score of a row would depend on the rows that
    happen to share its batch."""
    config = model.config
    parts: Any = getattr(config, "mlp", ())
    parts = parts if isinstance(parts, tuple) else (parts,)
    if not any(isinstance(part, MoE) for part in parts):
        return model
    dropless = tuple(replace(part, eval_capacity_factor=None) if isinstance(part, MoE) else part for part in parts)
    return replace(model, config=replace(config, mlp=dropless if len(dropless) > 1 else dropless[0]))  # type: ignore[arg-type]
