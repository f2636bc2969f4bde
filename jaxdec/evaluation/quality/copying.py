"""Whether a model uses what it has just read: the loss on the second copy of a random passage.

Nothing in random tokens can be predicted but by looking up what followed the same token the first time, which is what
induction heads do (Olsson et al. 2022, "In-context Learning and Induction Heads", argument 2: repeated random tokens).
"""

from __future__ import annotations

import jax
import numpy as np

from jaxdec.models.functional import Model, Params
from jaxdec.training.losses import token_losses


def random_passages(ids: np.ndarray, count: int, length: int, seed: int) -> np.ndarray:
    """[count, 2 * length]: passages of tokens drawn uniformly from `ids`, each written twice."""
    passages = np.random.default_rng(seed).choice(np.asarray(ids, np.int32), (count, length))
    return np.concatenate([passages, passages], axis=1)


def copy_losses(model: Model, params: Params, twice: np.ndarray, tokens_at_once: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean loss in nats of each passage, [count]: in its first copy, and in its second.

    The first token of a copy is no target: in the first nothing comes before it, in the second nothing says that the
    passage begins again. `twice` [count, 2 * length] with length >= 2. tokens_at_once: about how many tokens one
    call reads.
    """

    @jax.jit
    def losses(params: Params, read: jax.Array, targets: jax.Array) -> jax.Array:
        return token_losses(model.read(params, {"tokens": read}).logits_BTV, targets)

    count, length = len(twice), twice.shape[1] // 2
    rows = max(1, min(count, tokens_at_once // twice.shape[1]))
    parts = []
    for first in range(0, count, rows):
        part = np.resize(twice[first : first + rows], (rows, twice.shape[1]))  # the last call is filled up
        parts.append(np.asarray(losses(params, part[:, :-1], part[:, 1:]), np.float64))
    found = np.concatenate(parts)[:count]
    return found[:, : length - 1].mean(axis=1), found[:, length:].mean(axis=1)
