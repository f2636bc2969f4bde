"""The interface of every model that training and generation use."""

from __future__ import annotations

from typing import ClassVar

from torch import nn


class LanguageModel(nn.Module):
    """tokens [B,T], and the other entries of a batch that `inputs` names -> Output."""

    inputs: ClassVar[tuple[str, ...]] = ()
    context: int  # the most tokens that are read at once
