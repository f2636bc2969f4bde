"""The loss of a classifier: cross entropy of the label at one position of each text, weighted by class or not.

Radford et al. 2018, section 3.2, equations 3 and 4.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from jaxdec.config.classify import ReadAt
from jaxdec.data.batches import Batch
from jaxdec.errors import UserError
from jaxdec.models.functional import Params
from jaxdec.training.losses import with_auxiliary
from jaxdec.training.stage import Apply, Objective


def read_at(logits_BTC: jax.Array, lengths_B: jax.Array, at: ReadAt) -> jax.Array:
    """The logits [B,C] of each text, where the classifier reads: at its last token, or at the last position, which for
    most texts is a pad. Raises UserError for another place."""
    match at:
        case "last_token":
            return jnp.take_along_axis(logits_BTC, lengths_B[:, None, None] - 1, axis=1)[:, 0]
        case "last_position":
            return logits_BTC[:, -1]
        case _:
            raise UserError(f"stage.at is {at!r}: give last_token or last_position")


@functools.cache  # one value for each place, so that equal stages have equal objectives
def classification(at: ReadAt) -> Objective:
    """The mean cross entropy in nats over texts, each times its weight: sum(weight * loss) / sum(weight).

    A batch holds `tokens` int32 [B,T], `lengths` int32 [B], `labels` int32 [B] and `weights` float32 [B].
    """

    def loss(apply: Apply, params: Params, batch: Batch, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        output, labels_B = apply(params, batch, key=key), batch["labels"]
        logits_BC = read_at(output.logits_BTV, batch["lengths"], at)
        picked_B = jnp.take_along_axis(logits_BC, labels_B[:, None], axis=1)[:, 0]
        weights_B = batch["weights"].astype(logits_BC.dtype)
        total = jnp.sum(weights_B * (jax.nn.logsumexp(logits_BC, axis=1) - picked_B))
        right_B = (jnp.argmax(logits_BC, axis=1) == labels_B).astype(logits_BC.dtype)
        total, sums = with_auxiliary(total, output, jnp.sum(weights_B))
        return total, {**sums, "accuracy": jnp.sum(weights_B * right_B)}

    def count(batch: Batch) -> jax.Array:
        # Weights are no whole numbers: their sum is rounded, so it is made in the widest type there is.
        return jnp.sum(batch["weights"], dtype=jnp.result_type(float))

    return Objective(loss, count)
