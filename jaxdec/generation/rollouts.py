"""Answers that a model samples, with the log-probability that the sampler gave to each of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxdec.errors import UserError
from jaxdec.generation.decoding import Decoding
from jaxdec.generation.sampling import Sampling
from jaxdec.models.functional import Model, Params


class Answer(NamedTuple):
    """Sampled tokens int32 [N], the end token included where it was drawn, and log-probabilities [N] in nats."""

    tokens: np.ndarray
    log_p: np.ndarray


def sample_answers(
    model: Model,
    params: Params,
    prompts: Sequence[np.ndarray],
    *,
    most: int,
    end: int,
    sampling: Sampling,
    key: jax.Array,
) -> list[Answer]:
    """An answer of up to `most` tokens to each prompt, by the cached decoder, all in one batch.

    Every id of the model's vocabulary can be drawn, those that pad it too, so that the probabilities are the model's.
    Raises UserError where a prompt and its answer are longer than the context.
    """
    longest = max(map(len, prompts)) + most
    if longest - 1 > model.config.context:
        raise UserError(
            f"a prompt with an answer of {most} tokens has {longest} tokens, of which {longest - 1} are read: more "
            f"than model.context {model.config.context}"
        )
    assert model.config.vocab_size is not None
    decoding = Decoding(
        model, params, prompts, sampling=sampling, key=key, stop=end, vocab_size=model.config.vocab_size
    )
    left = most
    while left and decoding.live_B.any():
        taken, _ = decoding.advance(left)
        left -= taken
    ended = [[] if live else [end] for live in decoding.live_B]
    return [
        Answer(np.array(row[len(prompt) :] + last, np.int32), np.array(log_p))
        for row, prompt, last, log_p in zip(decoding.rows, prompts, ended, decoding.log_p, strict=True)
    ]


def as_batch(prompts: Sequence[np.ndarray], answers: Sequence[Answer], window: int) -> dict[str, np.ndarray]:
    """Rows of prompt and answer, padded on the right: `tokens`, `targets` int32 [B,T], `mask` float32 [B,T] (1 where
    the target is a token of the answer) and `sampler_log_p` [B,T], 0 where the mask is."""
    rows, width = len(prompts), window + 1
    text, mask = np.zeros((rows, width), np.int32), np.zeros((rows, width), np.float32)
    log_p = np.zeros((rows, width), answers[0].log_p.dtype)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        here = slice(len(prompt), len(prompt) + len(answer.tokens))
        text[row, : here.start], text[row, here] = prompt, answer.tokens
        mask[row, here], log_p[row, here] = 1, answer.log_p
    return {
        "tokens": np.ascontiguousarray(text[:, :-1]),
        "targets": np.ascontiguousarray(text[:, 1:]),
        "mask": np.ascontiguousarray(mask[:, 1:]),
        "sampler_log_p": np.ascontiguousarray(log_p[:, 1:]),
    }
