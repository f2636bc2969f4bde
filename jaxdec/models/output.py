"""What every model returns."""

from __future__ import annotations

from typing import NamedTuple

import jax

from jaxdec.layers.cache import Cache


class Output(NamedTuple):
    """`logits_BTV` in at least float32, the extended cache (None without one), and named auxiliary losses (scalars)."""

    logits_BTV: jax.Array
    cache: Cache | None
    aux: dict[str, jax.Array]
