"""Which document of its row each token belongs to, and where it stands in it."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from torch import Tensor

from jaxdec.config import documents as config
from jaxdec.errors import UserError


class Documents(NamedTuple):
    """numbers_BT: the start tokens up to each token, itself included; positions_BT: the tokens of its document before
    it."""

    numbers_BT: Tensor
    positions_BT: Tensor


def documents_of(documents: config.Documents, tokens_BT: Tensor) -> Documents | None:
    """None: all tokens are one document. Raises UserError where the start token is not known yet."""
    match documents:
        case config.Joined():
            return None
        case config.Separate(start=start):
            if start is None:
                raise UserError("model.documents.start is not set: take it from the tokenizer")
            numbers_BT = (tokens_BT == start).cumsum(dim=1)
            same_BTS = numbers_BT[:, :, None] == numbers_BT[:, None, :]
            return Documents(numbers_BT, same_BTS.tril(-1).sum(dim=2))
        case _:
            assert_never(documents)
