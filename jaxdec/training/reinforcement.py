"""Group relative policy optimization (GRPO; Shao et al. 2024, DeepSeekMath, eq. 3 and 4).

A prompt's sampled answers form a group; an answer's advantage A is its reward less the group's mean. With the ratio r
of a token's probability now to that when it was sampled, the loss of a token is

    -min(r A, clip(r, 1 - epsilon, 1 + epsilon) A) + beta (p' / p - log (p' / p) - 1)

where p' is its probability under the model at step 0: an estimate of the divergence from it that is never negative. How
tokens are averaged is a value: over each answer and then over answers (GRPO), over all tokens (DAPO; Yu et al. 2025,
eq. 8), or over answers after dividing by one length for all (Dr. GRPO; Liu et al. 2025). Everything is done without
dropout: the ratio compares the probabilities that one function gives.
"""

from __future__ import annotations

from functools import partial
from typing import assert_never

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.config.reinforce import Average, Baseline, Reinforce
from jaxdec.data.batches import Batch
from jaxdec.models.functional import Params
from jaxdec.training.losses import token_losses
from jaxdec.training.stage import Apply, Objective


def answer_log_p(
    apply: Apply, params: Params, batch: Batch, temperature: float
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Log-probability of each target at `temperature`, [B,T] in nats, 0 where the mask is; and the model's auxiliary
    losses."""
    output = apply(params, batch)
    losses_BT = token_losses(output.logits_BTV / temperature, batch["targets"])
    return jnp.where(batch["mask"] > 0, -losses_BT, 0), output.aux


def advantages(rewards_PG: np.ndarray, baseline: Baseline) -> np.ndarray:
    """The advantage of each of the G answers to P prompts; 0 in a group whose answers are worth the same.

    The deviation is that of the group itself, the root of the mean of squares.
    """
    centered_PG = rewards_PG - rewards_PG.mean(axis=1, keepdims=True)
    spread_P1 = rewards_PG.max(axis=1, keepdims=True) > rewards_PG.min(axis=1, keepdims=True)
    match baseline:
        case "centered":
            return np.where(spread_P1, centered_PG, 0.0)
        case "normalized":
            return np.where(spread_P1, centered_PG / np.where(spread_P1, rewards_PG.std(axis=1, keepdims=True), 1), 0.0)
        case _:
            assert_never(baseline)


def policy_loss(
    stage: Reinforce, apply: Apply, params: Params, batch: Batch, key: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The sum over a batch that has, beside `tokens`, `targets` and `mask`, the log-probabilities `sampler_log_p` and
    `first_log_p` [B,T] and the advantage of each row, `advantage` [B]. `key` is not used."""
    log_p_BT, aux = answer_log_p(apply, params, batch, stage.temperature)
    sampler_BT, first_BT, advantage_B = (
        jnp.asarray(batch[name], log_p_BT.dtype) for name in ("sampler_log_p", "first_log_p", "advantage")
    )
    ratio_BT, advantage_B1 = jnp.exp(log_p_BT - sampler_BT), advantage_B[:, None]
    clipped_BT = jnp.clip(ratio_BT, 1 - stage.clip, 1 + stage.clip)
    gain_BT = jnp.minimum(ratio_BT * advantage_B1, clipped_BT * advantage_B1)
    distance_BT = first_BT - log_p_BT
    divergence_BT = jnp.expm1(distance_BT) - distance_BT
    weight_BT = token_weights(batch["mask"].astype(log_p_BT.dtype), stage.average)
    total = jnp.sum(weight_BT * (stage.kl * divergence_BT - gain_BT))
    count = counted(stage.average, batch)
    return total + sum(count.astype(total.dtype) * loss for loss in aux.values()), {
        "policy_gain": jnp.sum(weight_BT * gain_BT),
        "clipped_share": jnp.sum(weight_BT * (clipped_BT * advantage_B1 < ratio_BT * advantage_B1)),
    }


def token_weights(mask_BT: jax.Array, average: Average) -> jax.Array:
    """How much each token of the sum counts, [B,T]; 0 outside answers."""
    match average:
        case "sequence":
            return mask_BT / jnp.maximum(mask_BT.sum(-1, keepdims=True), 1)
        case "token":
            return mask_BT
        case "window":
            return mask_BT / mask_BT.shape[1]
        case _:
            assert_never(average)


def counted(average: Average, batch: Batch) -> jax.Array:
    """What the sum is divided by: tokens of answers, or answers."""
    match average:
        case "token":
            return batch["mask"].sum()
        case "sequence" | "window":
            return (batch["mask"].sum(-1) > 0).sum()
        case _:
            assert_never(average)


def reinforcement(stage: Reinforce) -> Objective:
    """The objective of a stage."""
    return Objective(partial(policy_loss, stage), partial(counted, stage.average))
