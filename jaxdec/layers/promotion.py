"""At least float32: what is summed or exponentiated is never kept in bfloat16.

A fixed `astype(float32)` would cap a float64 run, and with it every parity proof, at single precision.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def at_least_float32(x: jax.Array) -> jax.Array:
    """`x` in float32, or unchanged when it is wider."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
