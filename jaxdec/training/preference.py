"""Losses over pairs of answers: DPO (Rafailov et al. 2023), its conservative form, and IPO (Azar et al. 2023).

A batch has leaves [P, ...], P pairs of which the chosen answer is the first of two, so that a microbatch never holds
half a pair: `tokens`, `targets` int32 [P,2,T], `mask` float32 [P,2,T], 1 where the target belongs to the answer, and
`reference` [P,2], the log-probabilities of both answers under the reference, unless the reference is read in the loss.
"""

from __future__ import annotations

from typing import Any, assert_never

import jax
import jax.numpy as jnp

from jaxdec.config.preference import DPO, IPO, PreferenceLoss
from jaxdec.data.batches import Batch
from jaxdec.models.functional import Params
from jaxdec.models.output import Output
from jaxdec.training.losses import token_losses, with_auxiliary
from jaxdec.training.stage import Apply, Objective


def preference_objective(loss: PreferenceLoss, reference: Apply | None = None) -> Objective:
    """The mean over pairs. `reference`: a model that reads the same parameters, as the base below trained adapters
    does; None: its log-probabilities are in the batch."""

    def total(apply: Apply, params: Params, batch: Batch, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        log_p_P2, output = answer_log_probabilities(apply, params, batch, key=key)
        if reference is None:
            reference_P2 = jnp.asarray(batch["reference"], log_p_P2.dtype)
        else:
            reference_P2, _ = answer_log_probabilities(reference, params, batch)
        scores = pair_scores(loss, log_p_P2, jax.lax.stop_gradient(reference_P2))
        sums = {name: jnp.sum(values_P) for name, values_P in scores.items()}
        count = jnp.asarray(len(log_p_P2), log_p_P2.dtype)
        value, extra = with_auxiliary(sums.pop("loss"), output, count, "preference")
        return value, {**sums, **extra}

    return Objective(total, counted_pairs)


def answer_log_probabilities(
    apply: Apply, params: Params, batch: Batch, *, key: jax.Array | None = None
) -> tuple[jax.Array, Output]:
    """log p(answer | prompt) in nats, the sum over the answer's tokens, [P,2]; and the model's output for the [2P,T]
    sequences."""
    rows = {name: batch[name].reshape(-1, batch[name].shape[-1]) for name in ("tokens", "targets", "mask")}
    output = apply(params, rows, key=key)
    log_p_B = masked_log_probabilities(output.logits_BTV, rows["targets"], rows["mask"])
    return log_p_B.reshape(-1, 2), output


@jax.custom_vjp
def masked_log_probabilities(logits_BTV: jax.Array, targets_BT: jax.Array, mask_BT: jax.Array) -> jax.Array:
    """The sum of the log-probabilities of the targets that count, [B].

    Its gradient is written out, and barriers keep XLA from fusing it with its neighbours, so that a program with a
    gradient and one without compute the same bits of it: the margin is exactly 0 before the first update.
    """
    return _forward(logits_BTV, targets_BT, mask_BT)[0]


def _forward(logits_BTV: jax.Array, targets_BT: jax.Array, mask_BT: jax.Array) -> tuple[jax.Array, Any]:
    logits_BTV = jax.lax.optimization_barrier(logits_BTV)
    losses_BT = token_losses(logits_BTV, targets_BT)
    log_p_B = jax.lax.optimization_barrier(-jnp.sum(losses_BT * mask_BT.astype(losses_BT.dtype), axis=-1))
    return log_p_B, (logits_BTV, targets_BT, mask_BT)


def _backward(kept: Any, gradient_B: jax.Array) -> tuple[jax.Array, None, None]:
    """d log p / d logits is one-hot(target) - softmax, where the target counts."""
    logits_BTV, targets_BT, mask_BT = kept
    hit_BTV = jax.nn.one_hot(targets_BT, logits_BTV.shape[-1], dtype=logits_BTV.dtype)
    weights_BT = gradient_B[:, None] * mask_BT.astype(logits_BTV.dtype)
    return (hit_BTV - jax.nn.softmax(logits_BTV, axis=-1)) * weights_BT[..., None], None, None


masked_log_probabilities.defvjp(_forward, _backward)


def pair_scores(loss: PreferenceLoss, log_p_P2: jax.Array, reference_P2: jax.Array) -> dict[str, jax.Array]:
    """For each pair [P]: the loss; the margin, the implicit reward of the chosen answer minus that of the rejected one;
    whether it is positive; and both log-probabilities. The implicit reward is beta (or tau) times the log ratio."""
    ratio_P2 = log_p_P2 - reference_P2
    margin_P = ratio_P2[:, 0] - ratio_P2[:, 1]
    match loss:
        case DPO(beta=scale, label_smoothing=smoothing):
            # -(1 - e) log sigmoid(z) - e log sigmoid(-z), in a form that is log 2 without rounding where z is 0
            loss_P = jax.nn.softplus(-scale * margin_P) + smoothing * scale * margin_P
        case IPO(tau=scale):
            loss_P = jnp.square(margin_P - 1 / (2 * scale))
        case _:
            assert_never(loss)
    return {
        "loss": loss_P,
        "margin": scale * margin_P,
        "reward_accuracy": (margin_P > 0).astype(margin_P.dtype),
        "chosen_log_probability": log_p_P2[:, 0],
        "rejected_log_probability": log_p_P2[:, 1],
    }


def counted_pairs(batch: Batch) -> jax.Array:
    """How many pairs there are."""
    return jnp.asarray(batch["tokens"].shape[0], jnp.float32)
