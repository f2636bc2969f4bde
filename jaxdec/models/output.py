"""What every model returns."""

from __future__ import annotations

from typing import NamedTuple

import jax

from jaxdec.layers.attention.cache import Cache


class Output(NamedTuple):
    """What a model computes for tokens [B,T].

    logits_BTV: in at least float32. cache: extended by the tokens; None without one.
    aux: auxiliary losses by name, scalars, already times their coefficients. metrics: scalars to look at, by name.
    """

    logits_BTV: jax.Array
    cache: Cache | None
    aux: dict[str, jax.Array]
    metrics: dict[str, jax.Array]
