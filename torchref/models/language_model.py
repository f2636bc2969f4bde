"""What training and generation know of every model."""

from __future__ import annotations

from typing import ClassVar

from torch import nn


class LanguageModel(nn.Module):
    """tokens [B,T], and what `inputs` names of a batch beside them -> Output."""

    inputs: ClassVar[tuple[str, ...]] = ()
    context: int  # the most tokens that are read at once
