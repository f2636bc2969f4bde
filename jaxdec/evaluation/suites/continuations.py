"""Log-probabilities of continuations of texts: what questions with choices, last words and `lm-eval` are scored by.

Rows are sorted by length and computed in batches of few shapes, so that few programs are compiled: lengths are rounded
up to 16, 24, 32, 48, 64, 96 ... Padding stands on the right, where no earlier token can read it. Logits are computed
for targets that count alone: a continuation is short, and a vocabulary large.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.config.model import AnyModel
from jaxdec.config.parts import MoE
from jaxdec.data.progress import progress
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import TrainingError
from jaxdec.generation.text_stream import start_tokens
from jaxdec.layers.notes import taken
from jaxdec.models.functional import Model, Params
from jaxdec.training.losses import token_losses

SHORTEST = 16  # the least length of a row
BLOCK_LOGITS = 2**23  # 32 MB of float32
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


class Shape(NamedTuple):
    """Of a program: `rows` of `length` tokens, and room for so many `targets` of all rows."""

    rows: int
    length: int
    targets: int


Scores = Callable[..., tuple[jax.Array, jax.Array]]


class Continuations:
    """Scores requests with a model; programs that were compiled once are used again."""

    def __init__(self, model: Model, params: Params) -> None:
        self.model, self.params = _dropless(model), params
        self.scores: Scores = _make_scores(self.model)

    def score(self, requests: Sequence[Request]) -> list[Score]:
        """A score for each request, in their order. Raises TrainingError where one is no number."""
        context = self.model.config.context
        rows = [row for index, request in enumerate(requests) for row in rows_of_request(index, request, context)]
        logprobs, greedy = np.zeros(len(requests)), np.ones(len(requests), bool)
        with progress("scoring", sum(row.scored for row in rows)) as advance:
            for batch, shape in _batches(rows, self.model.config):
                found, hits = jax.device_get(self.scores(self.params, *_arrays(batch, shape)))
                owners = np.repeat([row.index for row in batch], [row.scored for row in batch])
                np.add.at(logprobs, owners, found[: len(owners)])
                np.logical_and.at(greedy, owners, hits[: len(owners)])
                advance(len(owners))
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


def _batches(rows: Sequence[Row], config: AnyModel) -> Iterator[tuple[list[Row], Shape]]:
    """Rows of like length together, as many as the shape of their program has room for."""
    by_length: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_length[min(_rounded(len(row.ids) - 1), config.context)].append(row)
    for length, same in sorted(by_length.items(), reverse=True):  # memory runs out at once or never
        shape = _shape(length, [row.scored for row in same], config)
        batch: list[Row] = []
        for row in same:
            if len(batch) == shape.rows or sum(each.scored for each in batch) + row.scored > shape.targets:
                yield batch, shape
                batch = []
            batch.append(row)
        yield batch, shape


def _shape(length: int, scored: Sequence[int], config: AnyModel) -> Shape:
    """Powers of two, so that about as many targets fit as so many rows have. The last batch is filled up."""
    assert config.vocab_size is not None
    most, mean = max(max(scored), MOST_LOGITS // config.vocab_size), sum(scored) / len(scored)
    rows = max(1, min(MOST_TOKENS // length, int(most / mean)))
    rows = min(2 ** int(math.log2(rows)), 1 << (len(scored) - 1).bit_length())
    targets = 1 << (math.ceil(1.1 * rows * mean) - 1).bit_length()
    targets = max(max(scored), min(targets, most, rows * length))
    block = block_of(config)
    return Shape(rows, length, targets if targets <= block else -(-targets // block) * block)


def block_of(config: AnyModel) -> int:
    """How many targets have their logits computed at once: few enough for the processor's cache, which with a large
    vocabulary takes a third of the time."""
    assert config.vocab_size is not None
    return max(1, 2 ** int(math.log2(max(1, BLOCK_LOGITS // config.vocab_size))))


def _rounded(length: int) -> int:
    """The next of 16, 24, 32, 48, 64, 96 ..."""
    size = SHORTEST
    while size < length:
        if size * 3 // 2 >= length:
            return size * 3 // 2
        size *= 2
    return size


def _arrays(rows: Sequence[Row], shape: Shape) -> tuple[np.ndarray, ...]:
    """tokens int32 [rows, length]; and for each target [targets]: its row, the place that predicts it, its id."""
    tokens = np.zeros((shape.rows, shape.length), np.int32)
    picked = np.zeros((3, shape.targets), np.int32)
    filled = 0
    for number, row in enumerate(rows):
        length = len(row.ids) - 1
        tokens[number, :length] = row.ids[:-1]
        here = slice(filled, filled := filled + row.scored)
        picked[0, here], picked[1, here] = number, np.arange(length - row.scored, length)
        picked[2, here] = row.ids[len(row.ids) - row.scored :]
    return tokens, *picked


def _make_scores(model: Model) -> Scores:
    """Compiled (params, tokens [B,T], rows, places, targets [N]) -> the log-probability of each target [N], and whether
    it is the most probable token [N]."""

    @jax.jit
    def scores(
        params: Params, tokens_BT: jax.Array, rows_N: jax.Array, places_N: jax.Array, targets_N: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        module = model.module(params)
        with taken() as notes:  # what the model returns is not used, so the compiler leaves its logits out
            module(tokens_BT, jnp.dtype(model.precision.compute), None, None)
        x_ND = notes["stream"][-1][rows_N, places_N]

        def block(x_KD: jax.Array, targets_K: jax.Array) -> tuple[jax.Array, jax.Array]:
            logits_1KV = module.read_out(x_KD[None])
            losses_1K = token_losses(logits_1KV, targets_K[None])
            picked_K = jnp.take_along_axis(logits_1KV[0], targets_K[:, None], axis=-1)[:, 0]
            return -losses_1K[0], picked_K >= jnp.max(logits_1KV[0], axis=-1)

        size = min(len(targets_N), block_of(model.config))
        blocks = x_ND.reshape(-1, size, x_ND.shape[-1]), targets_N.reshape(-1, size)
        logprobs_MK, hits_MK = jax.lax.map(lambda each: block(*each), blocks)
        return logprobs_MK.reshape(-1), hits_MK.reshape(-1)

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
