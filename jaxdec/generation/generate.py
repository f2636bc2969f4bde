"""Generation: tokens from prompts, as a stream or at once, and text from a run directory.

The windows that long rows are continued from, and how decoding is batched and cached, are in `decoding`; how a token is
chosen is in `sampling`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from jaxdec.errors import UserError
from jaxdec.generation.decoding import MOST_STEPS, Decoding
from jaxdec.generation.sampling import Sampling
from jaxdec.generation.text_stream import TextStream, start_tokens
from jaxdec.models.functional import Model, Params
from jaxdec.runs.source import require_tokens

if TYPE_CHECKING:
    from jaxdec.data.tokenizers.registry import Tokenizer
    from jaxdec.runs.loading import LoadedRun

CHUNK = 16  # tokens a row in one piece of a stream


def stream(
    model: Model,
    params: Params,
    prompts: Sequence[np.ndarray | Sequence[int]],
    *,
    max_tokens: int,
    sampling: Sampling,
    key: jax.Array,
    stop: int | None = None,
    vocab_size: int | None = None,
    chunk: int = CHUNK,
) -> Iterator[list[np.ndarray]]:
    """Continues each prompt by up to `max_tokens` tokens; yields, piece by piece, the new tokens of every row.

    prompts: token ids, at least one each, of any lengths; those beyond the context count by `decoding.window_size`.
    key: a typed key (`jax.random.key(seed)`). Row r's token with n tokens before it is drawn with
        fold_in(fold_in(key, n), r).
    stop: a row ends before this token, which is not yielded; the rest go on. Ended rows yield empty arrays.
    vocab_size: only ids below it are drawn; for models whose vocabulary is padded. None: all.
    chunk: at most so many tokens a row in a piece; pieces may be shorter. It does not change the tokens.
    Raises UserError, at once, for an empty prompt, an id outside the vocabulary, negative `max_tokens` or `chunk` < 1.
    """
    assert model.config.vocab_size is not None
    rows = [np.asarray(prompt, np.int64).reshape(-1) for prompt in prompts]
    _check(rows, model.config.vocab_size, max_tokens, chunk)
    limit = model.config.vocab_size if vocab_size is None else vocab_size

    def pieces() -> Iterator[list[np.ndarray]]:
        if not rows or max_tokens == 0:
            return
        decoding = Decoding(model, params, rows, sampling=sampling, key=key, stop=stop, vocab_size=limit)
        left = max_tokens
        while left and decoding.live_B.any():
            taken, piece = decoding.advance(min(left, chunk))
            left -= taken
            yield piece

    return pieces()


def generate(
    model: Model,
    params: Params,
    prompts: Sequence[np.ndarray | Sequence[int]],
    *,
    max_tokens: int,
    sampling: Sampling,
    key: jax.Array,
    stop: int | None = None,
    vocab_size: int | None = None,
) -> list[np.ndarray]:
    """The new tokens of each row, int32: what `stream` yields, joined. A row shorter than `max_tokens` met `stop`."""
    pieces = stream(
        model, params, prompts, max_tokens=max_tokens, sampling=sampling, key=key, stop=stop, vocab_size=vocab_size,
        chunk=MOST_STEPS,
    )  # fmt: skip
    nothing = [np.zeros(0, np.int32)] * len(prompts)
    return [np.concatenate(row) for row in zip(nothing, *pieces, strict=True)]


def generate_text(
    run: Path | str | LoadedRun,
    prompts: Sequence[str],
    *,
    max_tokens: int,
    sampling: Sampling,
    seed: int,
    stop: str | None = None,
    stop_at_end: bool = False,
    on_text: Callable[[int, str], None] | None = None,
    chunk: int = CHUNK,
) -> list[str]:
    """Continues texts with a run's model; returns the continuations, without the prompts.

    run: a run directory, whose newest checkpoint is read, or what `load_run` returned.
    prompts: an empty one is continued as if a text or a paragraph had just ended (see `start_tokens`).
    stop: a text ends before the first place where its continuation holds this string.
    stop_at_end: a text ends where the model draws the tokenizer's <|endoftext|>; otherwise it goes on with a new text.
    on_text: called as on_text(index of the prompt, piece) with each piece of a continuation as it comes.
    Raises UserError for a prompt or `stop` with characters that the tokenizer does not know, and as `stream` does.
    """
    if isinstance(run, Path | str):
        from jaxdec.runs.loading import load_run  # which brings the checkpoint library

        run = load_run(run)
    tokenizer = run.tokenizer
    require_tokens(run.model.config, "the run")
    if not 0 <= seed < 2**31:
        raise UserError(f"seed is {seed}: give a whole number from 0 to 2147483647")
    if stop == "":
        raise UserError("the stop string is empty: give the characters to stop at, or leave it out")
    stop_ids = [] if stop is None else _encode(tokenizer, stop, "the stop string")
    one_token = len(stop_ids) == 1 and tokenizer.decode(stop_ids) == stop  # not <|unk|>, which is many words
    if stop_at_end and tokenizer.end_of_text is None:
        raise UserError(f"the tokenizer ({tokenizer.kind}) has no <|endoftext|> to stop at: leave --stop-at-end out")
    stop_token = tokenizer.end_of_text if stop_at_end else int(stop_ids[0]) if one_token else None
    names = [f"prompt {number}" if len(prompts) > 1 else "the prompt" for number in range(1, len(prompts) + 1)]
    rows = [_encode(tokenizer, prompt, name) for prompt, name in zip(prompts, names, strict=True)]
    texts = [TextStream(tokenizer, stop, before=row) for row in rows]
    rows = [row if len(row) else start_tokens(tokenizer) for row in rows]
    pieces = stream(
        run.model, run.params, rows, max_tokens=max_tokens, sampling=sampling, key=jax.random.key(seed),
        stop=stop_token, vocab_size=tokenizer.vocab_size, chunk=chunk,
    )  # fmt: skip
    tell = on_text or (lambda row, piece: None)
    for piece in pieces:
        for row, (text, tokens) in enumerate(zip(texts, piece, strict=True)):
            if added := text.add(tokens):
                tell(row, added)
        if all(text.ended for text in texts):
            break
    for row, text in enumerate(texts):
        if added := text.finish():
            tell(row, added)
    return [text.text for text in texts]


def _encode(tokenizer: Tokenizer, text: str, name: str) -> np.ndarray:
    try:
        return tokenizer.encode(text)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _check(rows: list[np.ndarray], vocab_size: int, max_tokens: int, chunk: int) -> None:
    if max_tokens < 0:
        raise UserError(f"max-tokens is {max_tokens}: give 0 or more")
    if chunk < 1:
        raise UserError(f"chunk is {chunk}: give a whole number from 1")
    for number, row in enumerate(rows):
        if not row.size:
            raise UserError(f"prompts[{number}] has no token: give at least one")
        if row.min() < 0 or row.max() >= vocab_size:
            wrong = row[(row < 0) | (row >= vocab_size)][0]
            raise UserError(
                f"prompts[{number}] holds token {wrong}: give ids from 0 to {vocab_size - 1}, the vocabulary's"
            )
