"""A conversation with a model that was trained on instructions: its history, within what the model can read."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from jaxdec.data.instructions.examples import end_of
from jaxdec.data.instructions.records import Turn
from jaxdec.data.instructions.templates import Form
from jaxdec.errors import UserError
from jaxdec.generation.generate import stream
from jaxdec.generation.sampling import Sampling
from jaxdec.generation.text_stream import TextStream
from jaxdec.runs.loading import LoadedRun

CHUNK = 4  # tokens in a piece of a response


class Chat:
    """`ask` adds a turn and streams its response. `turns` are those that are still remembered; the oldest are forgotten
    whole where the history, the message and `max_tokens` for the response would not fit the context, or a quarter of
    the context where that is less.

    Raises UserError for a run whose tokenizer has no end token.
    """

    def __init__(
        self, run: LoadedRun, form: Form, *, sampling: Sampling, max_tokens: int, seed: int = 0, system: str = ""
    ) -> None:
        if max_tokens < 1:
            raise UserError(f"max-tokens is {max_tokens}: give a whole number from 1")
        self.run, self.form, self.sampling, self.max_tokens, self.system = run, form, sampling, max_tokens, system
        self.end = end_of(run.tokenizer)
        self.turns: list[Turn] = []
        self.forgotten = 0  # turns
        self._key, self._asked = jax.random.key(seed), 0

    def ask(self, message: str) -> Iterator[str]:
        """The response to a message, piece by piece. The turn is remembered when the last piece has been taken; what is
        stopped before that is as if it had not been asked. Raises UserError for a message that does not fit alone."""
        prompt = self._prompt(message)
        key, self._asked = jax.random.fold_in(self._key, self._asked), self._asked + 1
        most = min(self.max_tokens, self.run.model.config.context - len(prompt))
        text, given = TextStream(self.run.tokenizer, None, before=prompt), ""
        pieces = stream(
            self.run.model, self.run.params, [prompt], max_tokens=most, sampling=self.sampling, key=key, stop=self.end,
            vocab_size=self.run.tokenizer.vocab_size, chunk=CHUNK,
        )  # fmt: skip
        for (tokens,) in pieces:
            if piece := text.add(tokens):
                given += piece
                yield piece
        if rest := text.finish():
            given += rest
            yield rest
        self.turns.append(Turn(message, "", given.strip()))

    def _prompt(self, message: str) -> np.ndarray:
        """The ids of the history and the message, after forgetting as many turns as it takes."""
        context = self.run.model.config.context
        room = context - min(self.max_tokens, max(1, context // 4))
        turns = list(self.turns)
        while True:
            text = self.form.prompt(turns, message, system=self.system)
            ids = np.concatenate([[self.end], self.run.tokenizer.encode(text)])
            if len(ids) <= room:
                break
            if not turns:
                raise UserError(
                    f"the message makes a prompt of {len(ids):,} tokens, and the model reads {context:,}, with "
                    f"{context - room:,} kept for the response: shorten it"
                )
            turns.pop(0)
        self.forgotten += len(self.turns) - len(turns)
        self.turns = turns
        return ids
