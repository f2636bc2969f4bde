"""Translation: targets for any number of sources, as ids or as text from a run's model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from jaxdec.data.pairs import boundary_of, padded
from jaxdec.errors import UserError
from jaxdec.generation.beam import Beam, beam_search, greedy
from jaxdec.generation.decoding import bucket
from jaxdec.models.functional import Model, Params

if TYPE_CHECKING:
    from jaxdec.runs.loading import LoadedRun

MOST_ROWS = 128  # hypotheses that one dispatch works on


class Translation(NamedTuple):
    """The target's ids, without the end, and its log-probability in nats, with the end."""

    tokens: np.ndarray
    log_p: float


def translate(
    model: Model, params: Params, sources: Sequence[np.ndarray], beam: Beam, *, boundary: int, vocab_size: int
) -> list[Translation]:
    """A target for each source, of at most as many tokens as the context holds.

    sources: ids int [S] without the end, which is added here. boundary: the token that begins and ends texts. Only ids
    below `vocab_size` are drawn. Raises UserError for a source that the context does not hold.
    """
    context = model.config.context
    for number, source in enumerate(sources, start=1):
        if len(source) >= context:
            raise UserError(
                f"text {number} has {len(source)} tokens, and the model reads at most {context - 1}: shorten it"
            )
    found: list[Translation] = []
    at_once = max(1, MOST_ROWS // beam.width)
    vocabulary = (np.int32(boundary), np.int32(vocab_size))
    for first in range(0, len(sources), at_once):
        some = sources[first : first + at_once]
        ids, counts = padded(some, boundary, context)
        rows = bucket(len(some), 1, at_once) - len(some)  # few sizes, few compiled programs
        ids, counts = np.pad(ids, ((0, rows), (0, 0))), np.pad(counts, (0, rows), constant_values=1)
        mask = (np.arange(context)[None, :] < counts[:, None]).astype(np.float32)
        if beam.width == 1:
            targets = greedy(model, params, ids, mask, vocabulary, length=context)
        else:
            penalty = np.float64(beam.length_penalty)
            targets = beam_search(model, params, ids, mask, vocabulary, penalty, length=context, width=beam.width)
        tokens, lengths, log_p = jax.device_get(targets)
        for row in range(len(some)):
            drawn = tokens[row, : lengths[row]]
            found.append(Translation(drawn[drawn != boundary], float(log_p[row])))
    return found


def translate_text(run: LoadedRun, texts: Sequence[str], beam: Beam) -> list[tuple[str, float]]:
    """The target of each text and its log-probability in nats.

    Raises UserError for an empty text, one with characters that the tokenizer does not know, and as `translate` does.
    """
    tokenizer, boundary = run.tokenizer, boundary_of(run.tokenizer)
    sources = []
    for number, text in enumerate(texts, start=1):
        text = " ".join(text.split("\n")).strip()  # a newline may be the end of a text
        if not text:
            raise UserError(f"text {number} is empty: give something to translate")
        try:
            sources.append(tokenizer.encode(text))
        except UserError as error:
            raise UserError(f"text {number}: {error}") from None
    found = translate(run.model, run.params, sources, beam, boundary=boundary, vocab_size=tokenizer.vocab_size)
    return [(tokenizer.decode(target.tokens), target.log_p) for target in found]
