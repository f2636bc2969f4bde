"""Where the documents of a row begin, which its tokens say.

With that, and nothing else, attention keeps documents apart (`kernel.Mask`), positions restart, and the cache knows
which keys are done with. Starts are positions in the row; a start token belongs to the document that it begins.
"""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp

from jaxdec.config.documents import Documents, Joined, Separate
from jaxdec.errors import UserError


def document_starts(
    documents: Documents, tokens_BT: jax.Array, positions_BT: jax.Array, before_B: jax.Array | None
) -> jax.Array | None:
    """The position at which the document of each token begins, [B,T]; None: all tokens are one document.

    `positions_BT` ([B,T] or [1,T]) are negative for pads. `before_B` is where the document begins that each row is in
    before these tokens; None: at 0.
    """
    match documents:
        case Joined():
            return None
        case Separate(start=start):
            if start is None:
                raise UserError("model.documents.start is None: give the id of the token that begins a document")
            begins_BT = (tokens_BT == start) & (positions_BT >= 0)  # a pad may have the same id
            before = 0 if before_B is None else before_B[:, None]
            return jax.lax.cummax(jnp.where(begins_BT, positions_BT, before), axis=1)
        case _:
            assert_never(documents)


def first_starts(documents: Documents, rows: int) -> jax.Array | None:
    """Of rows that hold no token yet, int32 [B]; None: there is nothing to keep."""
    match documents:
        case Joined():
            return None
        case Separate():
            return jnp.zeros(rows, jnp.int32)
        case _:
            assert_never(documents)
