"""Feed-forward layers side by side: one stacked array for each kind of weight, one batched product for all experts."""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.parts import MLP, GatedMLP
from jaxdec.layers.mlp import ACTIVATIONS, gated

CUT = 2.0  # truncated normals end here, in standard deviations before the cut
CUT_STD = 0.87962566103423978  # the standard deviation of a standard normal that is cut there


def truncated_normal(key: jax.Array, shape: tuple[int, ...], variance: float) -> jax.Array:
    """Normal numbers, drawn again beyond two standard deviations and widened so that `variance` holds after the cut, as
    TensorFlow's and Flax's variance scaling do it (Fedus et al. 2021, section 2.4, give variance s / n)."""
    return variance**0.5 / CUT_STD * jax.random.truncated_normal(key, -CUT, CUT, shape)


class Experts(nnx.Module):
    """x [G,C,D] -> [G,C,D]: group g through expert g, or through expert `expert_G[g]`.

    Owns `up` [E,D,F], `down` [E,F,D], for gated layers `gate` [E,D,F], and with biases `up_bias` [E,F] and so on.
    """

    def __init__(
        self,
        width: int,
        experts: int,
        part: MLP | GatedMLP,
        bias: bool,
        init_scale: float,
        *,
        rngs: nnx.Rngs,
    ):
        match part:
            case MLP():
                has_gate = False
            case GatedMLP():
                has_gate = True
            case _:
                assert_never(part)
        hidden = part.resolved_hidden(width)
        self.part = part

        def kernel(inputs: int, outputs: int, *axes: str) -> nnx.Param:
            draw = truncated_normal(rngs.params(), (experts, inputs, outputs), init_scale / inputs)
            return nnx.Param(draw, axes=("experts", *axes))

        def zeros(outputs: int, axis: str) -> nnx.Param | None:
            return nnx.Param(jnp.zeros((experts, outputs)), axes=("experts", axis)) if bias else None

        self.gate = kernel(width, hidden, "embed", "mlp") if has_gate else None
        self.gate_bias = zeros(hidden, "mlp") if has_gate else None
        self.up, self.up_bias = kernel(width, hidden, "embed", "mlp"), zeros(hidden, "mlp")
        self.down, self.down_bias = kernel(hidden, width, "mlp", "embed"), zeros(width, "embed")

    def __call__(self, x_GCD: jax.Array, expert_G: jax.Array | None) -> jax.Array:
        def weight(part: nnx.Param) -> jax.Array:
            return part[...] if expert_G is None else part[...][expert_G]

        def linear(x: jax.Array, kernel: nnx.Param, bias: nnx.Param | None) -> jax.Array:
            y = jnp.matmul(x, weight(kernel).astype(x.dtype))
            return y if bias is None else y + weight(bias).astype(x.dtype)[:, None, :]

        hidden = linear(x_GCD, self.up, self.up_bias)
        if isinstance(self.part, MLP):
            hidden = ACTIVATIONS[self.part.activation](hidden)
        elif self.gate is not None:
            hidden = gated(self.part, linear(x_GCD, self.gate, self.gate_bias), hidden)
        return linear(hidden, self.down, self.down_bias)
