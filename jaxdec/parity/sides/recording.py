"""What a side computes in one pass."""

from __future__ import annotations

from typing import NamedTuple

from jaxdec.parity.setting import Arrays


class Forward(NamedTuple):
    """Tapped inputs and outputs by module path, in the order of execution on the reference, and logits [B,T,V]."""

    entered: Arrays
    left: Arrays
    logits: Arrays  # under the one name "logits"


class Backward(NamedTuple):
    """Derivatives of the loss: by what entered each module, through that module alone; by what left it; by the logits;
    and by every parameter."""

    entered: Arrays
    left: Arrays
    logits: Arrays
    parameters: Arrays


class Trajectory(NamedTuple):
    """The loss of each step [N], and for each mark n the change of every parameter after n steps."""

    losses: list[float]
    updates: dict[int, Arrays]
