"""Where the norm of a residual branch stands (Xiong et al. 2020, fig. 1): norm(x + branch(x)), or
x + branch(norm(x))."""

from __future__ import annotations

from typing import Literal, assert_never

from torch import Tensor, nn

NormPlace = Literal["post", "pre"]


def branch_input(norm: nn.Module, x_BTD: Tensor, norm_place: NormPlace) -> Tensor:
    """What the branch reads."""
    match norm_place:
        case "pre":
            return norm(x_BTD)
        case "post":
            return x_BTD
        case _:
            assert_never(norm_place)


def residual_sum(norm: nn.Module, x_BTD: Tensor, branch_BTD: Tensor, norm_place: NormPlace) -> Tensor:
    """x with what the branch returned."""
    match norm_place:
        case "pre":
            return x_BTD + branch_BTD
        case "post":
            return norm(x_BTD + branch_BTD)
        case _:
            assert_never(norm_place)
