"""Losses over model outputs, all with one meaning of "mean": sum(mask * loss) / sum(mask).

Functions return sums, so that microbatches and devices can add theirs and divide once: a mean of means is wrong as soon
as two parts hold different numbers of targets. Auxiliary losses are added here and nowhere else.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxdec.data.batches import Batch
from jaxdec.models.functional import Params
from jaxdec.models.output import Output
from jaxdec.training.stage import Apply, Objective


def token_losses(logits_BTV: jax.Array, targets_BT: jax.Array) -> jax.Array:
    """Cross entropy of each target in nats, [B,T], in the dtype of the logits."""
    picked_BT = jnp.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits_BTV, axis=-1) - picked_BT


def language_loss(output: Output, batch: Batch) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The sum over the batch's counted targets, and named sums for the log."""
    losses_BT = token_losses(output.logits_BTV, batch["targets"])
    mask_BT = batch["mask"].astype(losses_BT.dtype)
    return with_auxiliary(jnp.sum(losses_BT * mask_BT), output, jnp.sum(mask_BT))


def with_auxiliary(
    total: jax.Array, output: Output, count: jax.Array, name: str = "cross_entropy"
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """`total`, a sum over `count` targets or sequences, with the model's auxiliary losses added, and named sums, of
    which `name` is the total without them.

    An auxiliary loss is a mean over the batch; it counts once for each target, and so does every metric of the model.
    """
    if not output.aux and not output.metrics:
        return total, {}
    extra = {name: count * value.astype(total.dtype) for name, value in {**output.aux, **output.metrics}.items()}
    return total + sum(extra[name] for name in output.aux), {name: total, **extra}


def next_token_loss(
    apply: Apply, params: Params, batch: Batch, key: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """`language_loss` of the model's output: the loss of every stage that predicts the targets of a batch."""
    return language_loss(apply(params, batch, key=key), batch)


def counted_targets(batch: Batch) -> jax.Array:
    """How many targets count: what a loss per token is divided by."""
    return batch["mask"].sum()


LANGUAGE = Objective(next_token_loss, counted_targets)
