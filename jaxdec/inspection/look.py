"""What a model does with one text, as arrays, all of it read off the model's own path (`layers.notes`).

The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens") applies the model's last norm and its head to
the stream after every layer: what would be predicted if the layers behind it were left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.config.model import AnyModel, EncoderDecoderConfig
from jaxdec.config.parts import MoE
from jaxdec.errors import UserError
from jaxdec.layers.moe.moe import dropped
from jaxdec.layers.notes import taken
from jaxdec.models.functional import Model, Params

TOP = 10  # of the likeliest tokens, so many are kept


class Predictions(NamedTuple):
    """What is expected after each token: the K likeliest, and what does come next. Leading axes [...] end in T.

    id, probability [...,K]: the likeliest first. true [...]: the probability of the token that comes next; rank [...]:
    how many are likelier. Where nothing comes next, at the last token and for classes, `true` is nan and `rank` -1.
    """

    id: np.ndarray
    probability: np.ndarray
    true: np.ndarray
    rank: np.ndarray


class Choices(NamedTuple):
    """Where a mixture of experts sends each token: expert [T,K], the best first; gate [T,K], the weight of what it
    returns; dropped [T,K], True where it had no slot left and so adds nothing; probability [T,E], of all experts.

    Whether a token is dropped depends on the tokens that are read with it: here, on this text alone.
    """

    expert: np.ndarray
    gate: np.ndarray
    dropped: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Look:
    """tokens: int32 [T]. attention: [L,H,T,S], row t the weights by which query t mixes the values of keys s, zero for
    s > t; a row sums to 1, or to less where a sink takes the rest; None for a model without attention. choices: by
    layer, those with a mixture of experts. lens: [L+1,T,...], of the embeddings and after each layer. next: [T,...],
    what the model predicts.
    """

    tokens: np.ndarray
    attention: np.ndarray | None
    choices: Mapping[int, Choices]
    lens: Predictions
    next: Predictions

    @property
    def sink(self) -> np.ndarray | None:
        """What of each query's weight goes to the sink and so to no value, [L,H,T]: zero where there is none."""
        return None if self.attention is None else 1 - self.attention.sum(-1)


def look(model: Model, params: Params, tokens: Any, top: int = TOP) -> Look:
    """Reads tokens [T] in one piece, as training does. `top`: the likeliest tokens that are kept; all, where there are
    fewer.

    Raises UserError for no token, for more than the context, and for a model that reads a second text.
    """
    config, ids = model.config, np.asarray(tokens, np.int32).reshape(-1)
    _check(config, len(ids), top)
    count = min(top, _outputs(config))

    @jax.jit
    def read(params: Params, tokens_T: jax.Array) -> Any:
        module = model.module(params)
        with taken() as notes:
            output = module(tokens_T[None], jnp.dtype(model.precision.compute), None, None)
        after_T = None if getattr(config, "classes", None) else jnp.append(tokens_T[1:], -1)

        def ranked(logits_BTV: jax.Array) -> tuple[jax.Array, ...]:
            return _ranked(logits_BTV[0], after_T, count)

        streams = jnp.stack(notes["stream"])
        lens = jax.lax.map(lambda x_BTD: ranked(module.read_out(x_BTD)), streams)  # one by one: vocabularies are large
        attention = [weights_BHTS[0] for weights_BHTS in notes.get("attention", ())]
        routed = [
            (each.expert_NK, each.gate_NK, dropped(each.assignment).T, jax.nn.softmax(each.scores_NE))
            for each in notes.get("routing", ())
        ]
        return attention, routed, lens, ranked(output.logits_BTV)

    attention, routed, lens, following = jax.device_get(read(params, jnp.asarray(ids)))
    decoder = config.decoder
    mixtures = [] if decoder is None else [n for n in range(decoder.layers) if isinstance(decoder.mlp_of(n), MoE)]
    choices = {layer: Choices(*each) for layer, each in zip(mixtures, routed, strict=True)}
    weights = np.stack(attention) if attention else None
    return Look(ids, weights, choices, Predictions(*lens), Predictions(*following))


def _ranked(logits_TV: jax.Array, after_T: jax.Array | None, count: int) -> tuple[jax.Array, ...]:
    """The fields of `Predictions`. `after_T`: the token that comes next, negative where none does; None: nowhere."""
    probability_TV = jax.nn.softmax(logits_TV, axis=-1)
    best_TK, id_TK = jax.lax.top_k(probability_TV, count)
    if after_T is None:
        after_T = jnp.full(len(logits_TV), -1)
    true_T1 = jnp.take_along_axis(probability_TV, jnp.maximum(after_T, 0)[:, None], axis=-1)
    rank_T = jnp.sum(probability_TV > true_T1, axis=-1)
    known_T = after_T >= 0
    return id_TK, best_TK, jnp.where(known_T, true_T1[:, 0], jnp.nan), jnp.where(known_T, rank_T, -1)


def _outputs(config: AnyModel) -> int:
    """How many logits a position has."""
    classes = getattr(config, "classes", None)
    assert config.vocab_size is not None
    return config.vocab_size if classes is None else classes


def _check(config: AnyModel, count: int, top: int) -> None:
    if isinstance(config, EncoderDecoderConfig):
        raise UserError("this is an encoder-decoder, which reads two texts: only models of one text can be looked into")
    if count < 1:
        raise UserError("the text has no token: give at least one character")
    if count > config.context:
        raise UserError(f"the text has {count} tokens, and the model's context is {config.context}: give fewer")
    if top < 1:
        raise UserError(f"top is {top}: give a whole number from 1")
