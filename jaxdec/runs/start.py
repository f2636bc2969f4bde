"""The first parameters of a run that starts from another model: those that both have, and fresh ones for what is new.

New are the adapters of this run and the classifier of a model that had none; a head has no place in a classifier. A
source with adapters is merged first. Any other difference between the two models is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax

from jaxdec.config.trainable import Everything
from jaxdec.errors import listed
from jaxdec.models.functional import Model, Params
from jaxdec.runs.loading import Shardings, Source, place_all, require_fit
from jaxdec.weights.lora import is_adapter, merged_arrays


def merged(source: Source) -> Source:
    """The same function without adapters; the source itself where it has none."""
    if source.model.lora is None:
        return source
    config = replace(source.config, trainable=Everything())
    arrays = merged_arrays(source.arrays, source.model.lora)
    read = partial(place_all, arrays, config.precision.params)
    return replace(source, config=config, model=source.model.base, arrays=arrays, read=read)


def is_new(name: str) -> bool:
    """Whether a parameter may be one that the source of a run lacks."""
    return is_adapter(name) or name.startswith("classifier.")


def is_left_out(name: str, model: Model) -> bool:
    """Whether a parameter of a source may be one that a model has no place for."""
    return name.startswith("head.") and getattr(model.config, "classes", None) is not None


class Start:
    """What a model takes from `source`, and what it adds.

    Raises UserError naming the first other parameter that is missing, left over or misshapen; `named` and `why` are for
    its message.
    """

    def __init__(self, model: Model, source: Source, seed: int, named: str, why: str) -> None:
        self.model, self.source, self.seed, self.named = model, merged(source), seed, named
        shapes: Mapping[str, Any] = model.shapes()
        self.fresh = [name for name in shapes if is_new(name) and name not in self.source.arrays]
        self.left_out = [name for name in self.source.arrays if name not in shapes and is_left_out(name, model)]
        kept = {name: array for name, array in self.source.arrays.items() if name not in self.left_out}
        require_fit(model, kept | {name: shapes[name] for name in self.fresh}, named, why)

    def params(self, shardings: Shardings) -> Params:
        """All parameters, each in its place; those of the source once. Says what was left out."""
        if self.left_out:
            print(f"{self.named}: {listed(self.left_out)} left out, because the model is a classifier")
        params = self.source.read(shardings)
        params = {name: param for name, param in params.items() if name not in self.left_out}
        return params | self.drawn(shardings) if self.fresh else params

    def drawn(self, shardings: Shardings) -> Params:
        """Fresh parameters, as a run that starts from nothing draws them."""

        def draw(key: jax.Array) -> Params:
            params = self.model.init(key)
            return {name: params[name] for name in self.fresh}

        where = {name: shardings[name] for name in self.fresh}
        return jax.jit(draw, out_shardings=where)(jax.random.key(self.seed))
