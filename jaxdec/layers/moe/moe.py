"""A mixture of experts in place of a feed-forward layer (Shazeer et al. 2017; Fedus et al. 2021; Zoph et al. 2022).

A router sends each token to K of E experts, which work on slots: tokens are gathered into them by index and their
outputs gathered back, so that no product with a one-hot matrix is needed. All B T tokens of a batch form one group and
share the slots: with a capacity, whether a token is dropped depends on the other tokens, later ones included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import DecoderConfig
from jaxdec.config.parts import MoE
from jaxdec.layers.linear import Linear
from jaxdec.layers.mlp import make_mlp
from jaxdec.layers.moe import router
from jaxdec.layers.moe.experts import Experts, truncated_normal
from jaxdec.layers.notes import note
from jaxdec.layers.promotion import at_least_float32


class RouterReport(NamedTuple):
    """The losses and metrics of a router.

    aux: auxiliary losses by name, scalars, already times their coefficients. metrics: scalars by name.
    """

    aux: dict[str, jax.Array]
    metrics: dict[str, jax.Array]


class Routing(NamedTuple):
    """Where a router sends N tokens of K choices each.

    expert_NK: the chosen experts, int32, the best first. gate_NK: the weight of what each returns. assignment: the
    slots they got; `dropped` reads off it which got none and so added nothing.
    """

    scores_NE: jax.Array
    expert_NK: jax.Array
    gate_NK: jax.Array
    assignment: router.SlotAssignment


class RouterLinear(nnx.Module):
    """x [N,D] -> [N,E] in at least float32, products included; owns `kernel` [D,E] and optionally a zero `bias` [E]."""

    def __init__(self, kernel_DE: jax.Array, bias: bool):
        self.kernel = nnx.Param(kernel_DE, axes=("embed", None))
        self.bias = nnx.Param(jnp.zeros(kernel_DE.shape[1]), axes=(None,)) if bias else None

    def __call__(self, x_ND: jax.Array) -> jax.Array:
        x_ND = at_least_float32(x_ND)
        kernel_DE = self.kernel[...].astype(x_ND.dtype)
        y_NE = jnp.matmul(x_ND, kernel_DE, precision=jax.lax.Precision.HIGHEST)  # GPUs would round to TF32
        return y_NE if self.bias is None else y_NE + self.bias[...].astype(y_NE.dtype)[None, :]


class MoEModule(nnx.Module):
    """x [B,T,D] -> [B,T,D] and a `RouterReport`. A key means training: noise, and the training capacity.

    Router and experts start from truncated normals of variance init_scale / fan-in (Fedus et al. 2021, section 2.4),
    biases and the size of the noise from zero; a shared expert starts as any feed-forward layer does.
    """

    def __init__(self, config: DecoderConfig, part: MoE, *, rngs: nnx.Rngs):
        shape = (config.width, part.experts)
        self.part = part
        kernel_DE = truncated_normal(rngs.params(), shape, part.init_scale / config.width)
        self.router = RouterLinear(kernel_DE, part.router_bias)
        self.noise = RouterLinear(jnp.zeros(shape), bias=False) if part.noisy else None
        self.experts = Experts(config.width, part.experts, part.expert, config.bias, part.init_scale, rngs=rngs)
        residual_std = config.init_std / (2 * config.layers) ** 0.5
        shared = None if part.shared is None else make_mlp(config, part.shared, residual_std, rngs=rngs)
        self.shared = shared
        gate = (
            Linear((config.width, 1), ("embed", None), config.init_std, False, rngs=rngs) if part.shared_gate else None
        )
        self.shared_gate = gate

    def __call__(self, x_BTD: jax.Array, key: jax.Array | None) -> tuple[jax.Array, RouterReport]:
        part, x_ND = self.part, x_BTD.reshape(-1, x_BTD.shape[-1])
        scores_NE = self.router(x_ND)
        if self.noise is not None and key is not None:
            noise_NE = router.router_noise(key, scores_NE.shape)
            scores_NE = router.noisy_scores(scores_NE, self.noise(x_ND), noise_NE)
        chosen_NK = router.choose(scores_NE, part.top_k)
        position_KN, count_E = router.positions(chosen_NK, part.experts)
        slots = router.capacity(part, x_ND.shape[0], training=key is not None)
        assignment = router.assign_slots(chosen_NK, position_KN, count_E, slots)
        y_GCD = self.experts(router.dispatch(x_ND, assignment), assignment.expert_G)
        gates_NK = router.gates(scores_NE, chosen_NK, part.gates)
        note("routing", Routing(scores_NE, chosen_NK, gates_NK, assignment))
        y_ND = router.combine(y_GCD, gates_NK, assignment).astype(x_ND.dtype)
        if self.shared is not None:
            shared_ND = self.shared(x_ND)
            if self.shared_gate is not None:
                shared_ND = jax.nn.sigmoid(self.shared_gate(x_ND)) * shared_ND
            y_ND = y_ND + shared_ND
        return y_ND.reshape(x_BTD.shape), report(part, scores_NE, count_E, assignment)


def dropped(assignment: router.SlotAssignment) -> jax.Array:
    """Which assignments found no slot, bool [K,N]."""
    return assignment.slot_KN == assignment.token_S.size


def report(part: MoE, scores_NE: jax.Array, count_E: jax.Array, assignment: router.SlotAssignment) -> RouterReport:
    """The auxiliary losses whose coefficients are not zero, and the metrics: `dropped_fraction`, the share of
    assignments without a slot; `router_entropy`; `load.e`, expert e's assignments before drops over an even share."""
    aux = {}
    if part.balance_loss > 0:
        aux["balance_loss"] = part.balance_loss * router.balance_loss(scores_NE, count_E)
    if part.z_loss > 0:
        aux["z_loss"] = part.z_loss * router.z_loss(scores_NE)
    dropped_KN = dropped(assignment)
    load_E = count_E.astype(scores_NE.dtype) * (part.experts / dropped_KN.size)
    metrics = {
        "dropped_fraction": jnp.mean(dropped_KN, dtype=scores_NE.dtype),
        "router_entropy": router.entropy(scores_NE),
        **{f"load.{expert}": load_E[expert] for expert in range(part.experts)},
    }
    return RouterReport(aux, metrics)


def summarise(reports: Sequence[RouterReport]) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Auxiliary losses summed over layers; metrics averaged over the layers that have them."""

    def gathered(parts: Sequence[dict[str, jax.Array]]) -> dict[str, list[jax.Array]]:
        return {
            name: [part[name] for part in parts if name in part] for name in dict.fromkeys(n for p in parts for n in p)
        }

    aux = {name: sum(values[1:], values[0]) for name, values in gathered([each.aux for each in reports]).items()}
    metrics = gathered([each.metrics for each in reports])
    return aux, {name: sum(values[1:], values[0]) / len(values) for name, values in metrics.items()}
