"""Models and prompts for the tests of generation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxdec.config.run import Precision
from jaxdec.generation.sampling import Sampling
from jaxdec.models.functional import Model, Params
from tests import tiny

VOCAB = 11
GREEDY = Sampling(temperature=0)
FREE = Sampling(temperature=0.7)
KEY = jax.random.key(0)
# Shorter than the context of 8, as long, longer, and longer than its windows.
PROMPTS = [[3], [1, 2, 3], list(range(8)), [5, 4, 3, 2, 1, 0, 1, 2, 3], [(7 * place) % VOCAB for place in range(21)]]


def make(precision: Precision, **changes: Any) -> tuple[Model, Params]:
    """A model that does not repeat itself: untied, and without the final bias that favours one token everywhere."""
    model = tiny.model(precision, tied_head=False, **changes)
    params = tiny.generic_params(model, seed=3)
    return model, params | {"final_norm.bias": jnp.zeros_like(params["final_norm.bias"])}


def double(**changes: Any) -> tuple[Model, Params]:
    return make(Precision("float64", "float64"), **changes)
