"""Where the norm of a residual branch stands (Xiong et al. 2020, fig. 1): after the sum, norm(x + branch(x)), as in the
first transformer, or before the branch, x + branch(norm(x)).

After the sum, every block ends normalised and a stack needs no norm behind it; but each norm lies on the way of the
gradient, so that training wants a warm-up.
"""

from __future__ import annotations

from typing import Literal

import jax

from jaxdec.layers.norm import LayerNormModule, RMSNormModule

Place = Literal["post", "pre"]


def branch_input(norm: LayerNormModule | RMSNormModule, x_BTD: jax.Array, place: Place) -> jax.Array:
    """What the branch reads."""
    return norm(x_BTD) if place == "pre" else x_BTD


def residual_sum(
    norm: LayerNormModule | RMSNormModule, x_BTD: jax.Array, branch_BTD: jax.Array, place: Place
) -> jax.Array:
    """x with what the branch returned."""
    return norm(x_BTD + branch_BTD) if place == "post" else x_BTD + branch_BTD
