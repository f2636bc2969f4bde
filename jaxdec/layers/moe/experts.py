"""Feed-forward layers side by side: one stacked array for each kind of weight, one batched product for all experts."""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.parts import MLP, GatedMLP
from jaxdec.layers.mlp import ACTIVATIONS, gated

WEIGHTS = ("gate", "up", "down")  # of an expert; the first is None where it is not gated
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
        def linear(name: str, bias: nnx.Param | None, x: jax.Array) -> jax.Array:
            y = self.product(name, x, expert_G)
            y = y if bias is None else y + self.weight(bias, expert_G).astype(x.dtype)[:, None, :]
            return self.adapted(name, x, y, expert_G)

        hidden = linear("up", self.up_bias, x_GCD)
        if isinstance(self.part, MLP):
            hidden = ACTIVATIONS[self.part.activation](hidden)
        elif self.gate is not None:
            hidden = gated(self.part, linear("gate", self.gate_bias, x_GCD), hidden)
        return linear("down", self.down_bias, hidden)

    def product(self, name: str, x_GCI: jax.Array, expert_G: jax.Array | None) -> jax.Array:
        """Each group times its expert's matrix, of the parameter `name` [E, in, out]."""
        return jnp.matmul(x_GCI, self.weight(getattr(self, name), expert_G).astype(x_GCI.dtype))

    def weight(self, param: nnx.Param, expert_G: jax.Array | None) -> jax.Array:
        """What of a parameter [E, ...] each group meets, [G, ...]."""
        return param[...] if expert_G is None else param[...][expert_G]

    def adapted(self, name: str, x_GCI: jax.Array, y_GCO: jax.Array, expert_G: jax.Array | None) -> jax.Array:
        """The output of the weight `name` for x, of which y is the product: y itself, unless an adapter stands beside
        it (`layers/lora.py`)."""
        return y_GCO
