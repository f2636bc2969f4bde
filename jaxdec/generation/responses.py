"""Responses: what a model answers to prompts, up to the end token and within its context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import jax
import numpy as np

from jaxdec.config.instruct import Template
from jaxdec.config.run import MeshConfig
from jaxdec.data.instructions.examples import end_of
from jaxdec.data.instructions.templates import form_of
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.distributed.sharding import make_mesh
from jaxdec.errors import UserError
from jaxdec.generation.generate import generate
from jaxdec.generation.sampling import Sampling
from jaxdec.generation.text_stream import TextStream
from jaxdec.models.functional import Model, Params
from jaxdec.runs.loading import LoadedRun

MOST_TOKENS = 256  # of a response
AT_ONCE = 16  # prompts that are answered side by side, those of like length
GREEDY = Sampling(temperature=0.0)


class Response(NamedTuple):
    """`text` without space around it. `ended`: the model drew the end token; otherwise it was stopped."""

    text: str
    ended: bool


def respond(
    model: Model,
    params: Params,
    prompts: Sequence[np.ndarray],
    tokenizer: Tokenizer,
    *,
    end: int,
    max_tokens: int = MOST_TOKENS,
    sampling: Sampling = GREEDY,
    seed: int = 0,
) -> list[Response]:
    """The response to each prompt of token ids, at least one each and fewer than the context."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    found: dict[int, Response] = {}
    with one_device(params) as params:
        for first in range(0, len(order), AT_ONCE):
            chosen = order[first : first + AT_ONCE]
            rows = [prompts[index] for index in chosen]
            filled = rows + rows[-1:] * (AT_ONCE - len(rows) if first else 0)  # the same program as before
            most = min(max_tokens, model.config.context - len(rows[-1]))
            drawn = generate(
                model, params, filled, max_tokens=most, sampling=sampling, key=jax.random.key(seed + first), stop=end,
                vocab_size=tokenizer.vocab_size,
            )  # fmt: skip
            for index, tokens in zip(chosen, drawn, strict=False):
                found[index] = Response(text_of(tokenizer, prompts[index], tokens), len(tokens) < most)
    return [found[index] for index in range(len(prompts))]


def respond_to_texts(
    run: LoadedRun,
    template: Template,
    instructions: Sequence[str],
    *,
    input: str = "",
    max_tokens: int = MOST_TOKENS,
    sampling: Sampling = GREEDY,
    seed: int = 0,
) -> list[Response]:
    """The response to each instruction, in the form of a template. Raises UserError for a prompt as long as the
    context."""
    form, end, context = form_of(template), end_of(run.tokenizer), run.model.config.context
    prompts = []
    for instruction in instructions:
        ids = np.concatenate([[end], run.tokenizer.encode(form.prompt((), instruction, input))])
        if len(ids) >= context:
            raise UserError(
                f"the instruction makes a prompt of {len(ids):,} tokens, and the model reads {context:,}: shorten it"
            )
        prompts.append(ids)
    return respond(
        run.model, run.params, prompts, run.tokenizer, end=end, max_tokens=max_tokens, sampling=sampling, seed=seed
    )


@contextmanager
def one_device(params: Params) -> Iterator[Params]:
    """The parameters on the first device, and a mesh of it alone while the block lasts: the number of prompts need not
    fit the mesh of a training."""
    with jax.set_mesh(make_mesh(MeshConfig(data=1))):
        yield jax.device_put(params, jax.devices()[0])


def text_of(tokenizer: Tokenizer, prompt: np.ndarray, tokens: np.ndarray) -> str:
    """The text of a response behind its prompt, without space around it."""
    stream = TextStream(tokenizer, None, before=prompt)
    return (stream.add(tokens) + stream.finish()).strip()
