"""Routing of tokens to experts: scores, choices, gates, slots, and the losses that keep the load even and scores small.

Pure functions on arrays. N tokens (all of a batch) form one group; each makes K choices among E experts. Everything is
in at least float32, whatever the rest of the model computes in: rounded scores send tokens elsewhere.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, assert_never

import jax
import jax.numpy as jnp

from jaxdec.config.parts import MoE


def router_noise(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal numbers. Apart, so that a comparison can put the same noise into two frameworks."""
    return jax.random.normal(key, shape)


def noisy_scores(scores_NE: jax.Array, spread_NE: jax.Array, noise_NE: jax.Array) -> jax.Array:
    """scores + noise * softplus(spread): noise whose size is learned (Shazeer et al. 2017, eq. 4)."""
    return scores_NE + noise_NE.astype(scores_NE.dtype) * jax.nn.softplus(spread_NE)


def choose(scores_NE: jax.Array, top_k: int) -> jax.Array:
    """The experts with the K highest scores, int32 [N,K], the highest first; of equal scores the lower expert first."""
    return jax.lax.top_k(jax.lax.stop_gradient(scores_NE), top_k)[1]


def gates(scores_NE: jax.Array, chosen_NK: jax.Array, over: Literal["chosen", "all"]) -> jax.Array:
    """The weight of each choice, [N,K]: the softmax over the chosen scores (which sums to 1; Shazeer et al. 2017, eq. 3
    and 5), or the chosen parts of the softmax over all scores (Fedus et al. 2021, eq. 2)."""
    match over:
        case "chosen":
            return jax.nn.softmax(jnp.take_along_axis(scores_NE, chosen_NK, axis=-1), axis=-1)
        case "all":
            return jnp.take_along_axis(jax.nn.softmax(scores_NE, axis=-1), chosen_NK, axis=-1)
        case _:
            assert_never(over)


def capacity(part: MoE, tokens: int, *, training: bool) -> int | None:
    """Slots of each expert for a group of `tokens`: the even share K N / E times the factor, rounded down to an even
    number, at least `min_capacity`, and no more than there are tokens. None: every token gets a slot."""
    factor = part.capacity_factor if training else part.eval_capacity_factor
    if factor is None:
        return None
    share = math.floor(part.top_k * factor * tokens / part.experts)
    return min(max(share - share % 2, part.min_capacity), tokens)


def capacity_warning(part: MoE, tokens: int) -> str | None:
    """One line when the slots for a group of `tokens` are so few that a tenth of all assignments or more must be
    dropped, however even the router is; None otherwise."""
    said = []
    for training, name in ((True, "capacity_factor"), (False, "eval_capacity_factor")):
        slots, assignments = capacity(part, tokens, training=training), part.top_k * tokens
        lost = 0.0 if slots is None else 1 - part.experts * slots / assignments
        if slots is not None and lost >= 0.1:
            said.append(
                f"{part.experts} experts x {slots} slots take {part.experts * slots:,} of {assignments:,} assignments "
                f"{'in training' if training else 'at evaluation'}: at least {lost:.0%} are dropped; raise "
                f"model.mlp.{name} or model.mlp.min_capacity, or set {name} to None"
            )
    return "; ".join(said) or None


def positions(chosen_NK: jax.Array, experts: int) -> tuple[jax.Array, jax.Array]:
    """How many assignments to its expert come before each one, [K,N], and how many each expert gets, [E], both int32.

    All first choices come before all second ones, in the order of the tokens. One sort of unique keys finds both; its
    cost does not grow with the number of experts, as that of a running count per expert does. E K N must fit 31 bits.
    """
    expert_A = chosen_NK.T.reshape(-1)
    count = expert_A.size
    number_A = jnp.arange(count, dtype=jnp.int32)
    sorted_A = jnp.sort(expert_A * count + number_A)
    starts = jnp.searchsorted(sorted_A, jnp.arange(experts + 1, dtype=jnp.int32) * count).astype(jnp.int32)
    position_A = number_A - starts[sorted_A // count]
    position_A = jnp.zeros_like(number_A).at[sorted_A % count].set(position_A, unique_indices=True)
    return position_A.reshape(chosen_NK.shape[::-1]), jnp.diff(starts)


class SlotAssignment(NamedTuple):
    """Where assignments go: G groups of C slots, each group served by one expert.

    slot_KN: the slot of each assignment, int32; G * C where it was dropped. token_S: the token in each slot, N where it
    is empty. expert_G: the expert of each group, None where group e is expert e. shape: (G, C).
    """

    slot_KN: jax.Array
    token_S: jax.Array
    expert_G: jax.Array | None
    shape: tuple[int, int]


def assign_slots(chosen_NK: jax.Array, position_KN: jax.Array, count_E: jax.Array, slots: int | None) -> SlotAssignment:
    """Gives each assignment its slot.

    With a capacity, expert e has group e, and what does not fit in it is dropped. Without one (`slots` None) every
    expert gets as many smaller groups as it needs, so that nothing is dropped and little is wasted; where that saves
    nothing, each expert gets room for all tokens.
    """
    (tokens, _), experts = chosen_NK.shape, count_E.size
    groups, size = dropless_groups(chosen_NK.size, experts) if slots is None else (experts, slots)
    if slots is None and groups * size >= experts * tokens:
        groups, size, slots = experts, tokens, tokens
    if slots is None:
        ends_E = jnp.cumsum(-(-count_E // size))
        first_E = ends_E - (-(-count_E // size))
        group = jnp.arange(groups, dtype=jnp.int32)
        expert_G = jnp.minimum(jnp.searchsorted(ends_E, group, side="right"), experts - 1)  # spare groups stay empty
    else:
        first_E, expert_G = jnp.arange(experts, dtype=jnp.int32), None
    slot_KN = first_E[chosen_NK.T] * size + position_KN
    if slots is not None:
        slot_KN = jnp.where(position_KN < size, slot_KN, groups * size)
    token_KN = jnp.broadcast_to(jnp.arange(tokens, dtype=jnp.int32), slot_KN.shape)
    token_S = jnp.full(groups * size, tokens, jnp.int32).at[slot_KN].set(token_KN, mode="drop")
    return SlotAssignment(slot_KN, token_S, expert_G, (groups, size))


def dropless_groups(assignments: int, experts: int) -> tuple[int, int]:
    """(G, C): the size of groups, and as many as the worst case needs: m experts that share A assignments fill at most
    (A - m) / C + m groups of C.

    Small groups waste few slots, but each reads its expert's weights; measured on CPU, a quarter of an even share, or
    up to 64 slots, is a good middle.
    """
    share, used = assignments // experts, min(experts, assignments)
    size = max(share // 4, min(share, 64), 1)
    return (assignments - used) // size + used, size


def dispatch(x_ND: jax.Array, assignment: SlotAssignment) -> jax.Array:
    """The tokens in their slots, [G,C,D]; empty slots are zero."""
    return x_ND.at[assignment.token_S].get(mode="fill", fill_value=0).reshape(*assignment.shape, -1)


def combine(y_GCD: jax.Array, gates_NK: jax.Array, assignment: SlotAssignment) -> jax.Array:
    """The sum over a token's choices of gate * output, [N,D], in the dtype of the gates; a dropped one adds nothing."""
    y_SD = y_GCD.reshape(-1, y_GCD.shape[-1])
    z_ND = jnp.zeros((), gates_NK.dtype)
    for choice, slot_N in enumerate(assignment.slot_KN):  # a reduction over [K,N,D] compiles to a slower program on CPU
        z_ND = z_ND + gates_NK[:, choice, None] * y_SD.at[slot_N].get(mode="fill", fill_value=0)
    return z_ND


def balance_loss(scores_NE: jax.Array, count_E: jax.Array) -> jax.Array:
    """E * sum over experts of f_e P_e: 1 when both are even (Fedus et al. 2021, eq. 4 to 6, for K choices).

    f_e is the share of all K N assignments, dropped ones included, that chose e, and has no gradient; P_e is the mean
    over tokens of e's part of the softmax over all scores.
    """
    probability_E = jnp.mean(jax.nn.softmax(scores_NE, axis=-1), axis=0)
    share_E = count_E.astype(scores_NE.dtype) / jnp.sum(count_E)
    return count_E.size * jnp.sum(share_E * probability_E)


def z_loss(scores_NE: jax.Array) -> jax.Array:
    """The mean over tokens of logsumexp(scores)^2, which keeps scores small (Zoph et al. 2022, eq. 5)."""
    return jnp.mean(jax.nn.logsumexp(scores_NE, axis=-1) ** 2)


def entropy(scores_NE: jax.Array) -> jax.Array:
    """The mean over tokens of the entropy of the softmax over all scores, in nats: log E when it knows nothing."""
    log_NE = jax.nn.log_softmax(scores_NE, axis=-1)
    return -jnp.mean(jnp.sum(jnp.exp(log_NE) * log_NE, axis=-1))
