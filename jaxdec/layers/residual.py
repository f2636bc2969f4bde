"""Where the norm of a residual branch stands (Xiong et al. 2020, fig. 1): after the sum, norm(x + branch(x)), as in the
original transformer, or before the branch, x + branch(norm(x)).

After the sum, every block ends normalised and a stack needs no norm at its end; but the gradient passes through each
norm, so training needs a warm-up.
"""

from __future__ import annotations

from typing import Literal, assert_never

import jax

from jaxdec.layers.norm import LayerNormModule, RMSNormModule

NormPlace = Literal["post", "pre"]


def branch_input(norm: LayerNormModule | RMSNormModule, x_BTD: jax.Array, norm_place: NormPlace) -> jax.Array:
    """What the branch reads."""
    match norm_place:
        case "pre":
            return norm(x_BTD)
        case "post":
            return x_BTD
        case _:
            assert_never(norm_place)


def residual_sum(
    norm: LayerNormModule | RMSNormModule, x_BTD: jax.Array, branch_BTD: jax.Array, norm_place: NormPlace
) -> jax.Array:
    """x with what the branch returned."""
    match norm_place:
        case "pre":
            return x_BTD + branch_BTD
        case "post":
            return norm(x_BTD + branch_BTD)
        case _:
            assert_never(norm_place)
