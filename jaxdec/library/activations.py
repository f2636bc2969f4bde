"""What a model computes on the way to its logits, module by module."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.errors import UserError
from jaxdec.models.functional import Model, Params
from jaxdec.parity.adapters.probe import Probe
from jaxdec.parity.adapters.taps import nnx_probe


def activations(model: Model, params: Params, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Tap name -> what that module returned for tokens int32 [T], in the order of execution; `logits` [1,T,V] last.

    A module that runs several times has entries `name`, `name~2` ... Raises UserError for no token or
    more than the context, and for models that read more than tokens.
    """
    if not 1 <= len(tokens) <= model.config.context:
        raise UserError(f"the text has {len(tokens)} tokens: give from 1 to the context of {model.config.context}")
    if model.inputs:
        raise UserError(f"this model also reads {', '.join(model.inputs)}: its activations need more than a text")

    @jax.jit
    def recorded(params: Params, tokens_BT: jax.Array) -> dict[str, jax.Array]:
        probe, module = Probe(), model.module(params)
        with nnx_probe(module, probe):
            output = module(tokens_BT, jnp.dtype(model.precision.compute), None, None)
        order.extend(probe.left)
        return {**probe.left, "logits": output.logits_BTV}

    order: list[str] = []  # jit returns dicts sorted by name
    values = jax.device_get(recorded(params, jnp.asarray(tokens, jnp.int32)[None, :]))
    return {name: values[name] for name in [*order, "logits"]}
