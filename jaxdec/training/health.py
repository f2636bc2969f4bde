"""How large an update is beside what it changes: a sign of a learning rate that is too high or too low.

The norm of an update over the norm of the parameters is about 1e-3 where training goes well. Much below it the
parameters hardly move, much above it they are overwritten: a rule of thumb from practice (the notes of Stanford's
CS231n, "Ratio of weights:updates"). The update is what AdamW adds in the end, its rate and decay included.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from jaxdec.layers.promotion import at_least_float32

UPDATE_RATIO = "update_ratio"  # of all trained parameters; of a group the name goes on: update_ratio/blocks.0


def update_ratios(params: Mapping[str, jax.Array], updates: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """|update| / |parameters|, Euclidean norms over all trained parameters and over each group, scalars by name.

    `params` before the update, and `updates`, what is added to them, by the same names. A group whose parameters are
    all zero, as an adapter's before its first update, has no ratio and counts as 0.
    """
    groups = {UPDATE_RATIO: list(params)}
    for name in params:
        groups.setdefault(f"{UPDATE_RATIO}/{group_of(name)}", []).append(name)
    return {group: _ratio(params, updates, names) for group, names in groups.items()}


def group_of(name: str) -> str:
    """The part of the model that a parameter belongs to.

    >>> group_of("blocks.0.attention.query.kernel"), group_of("head.kernel")
    ('blocks.0', 'head')
    """
    first, _, rest = name.partition(".")
    second = rest.partition(".")[0]
    return f"{first}.{second}" if second.isdigit() else first


def _ratio(params: Mapping[str, jax.Array], updates: Mapping[str, jax.Array], names: list[str]) -> jax.Array:
    size, change = (optax.tree.norm([at_least_float32(tree[name]) for name in names]) for tree in (params, updates))
    return jnp.where(size > 0, change / jnp.where(size > 0, size, 1), 0)
