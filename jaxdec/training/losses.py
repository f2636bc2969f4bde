"""Losses over model outputs, all with one meaning of "mean": sum(mask * loss) / sum(mask).

Functions return sums, so that microbatches and devices can add theirs and divide once: a mean of means is wrong as soon
as two parts hold different numbers of targets. Auxiliary losses are added here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxdec.models.output import Output


def token_losses(logits_BTV: jax.Array, targets_BT: jax.Array) -> jax.Array:
    """Cross entropy of each target in nats, [B,T], in the dtype of the logits."""
    picked_BT = jnp.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits_BTV, axis=-1) - picked_BT


def language_loss(output: Output, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The sum over the batch's counted targets, and named sums for the log.

    An auxiliary loss is a mean over the batch; it counts once for each target, and so does every metric of the model.
    """
    losses_BT = token_losses(output.logits_BTV, batch["targets"])
    mask_BT = batch["mask"].astype(losses_BT.dtype)
    total = jnp.sum(losses_BT * mask_BT)
    if not output.aux and not output.metrics:
        return total, {}
    targets = jnp.sum(mask_BT)
    extra = {name: targets * value.astype(total.dtype) for name, value in {**output.aux, **output.metrics}.items()}
    return total + sum(extra[name] for name in output.aux), {"cross_entropy": total, **extra}
