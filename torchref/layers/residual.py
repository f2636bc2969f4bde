"""Where the norm of a residual branch stands (Xiong et al. 2020, fig. 1): norm(x + branch(x)), or
x + branch(norm(x))."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Place = Literal["post", "pre"]


def branch_input(norm: nn.Module, x_BTD: Tensor, place: Place) -> Tensor:
    """What the branch reads."""
    return norm(x_BTD) if place == "pre" else x_BTD


def residual_sum(norm: nn.Module, x_BTD: Tensor, branch_BTD: Tensor, place: Place) -> Tensor:
    """x with what the branch returned."""
    return norm(x_BTD + branch_BTD) if place == "post" else x_BTD + branch_BTD
